"""A look at SQL text before any parser does: quotes, comments and separators that databases read alike.

A parser that is not the database's own can be led astray by what it takes for a string or a comment. So text whose
lexical structure depends on the server or its settings is refused here, whatever it would mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# No query that a person has to approve is longer; the parser's time grows with it.
MAX_LENGTH = 16_384
MAX_DEPTH = 40
# `a[1][1][1]…`: the parser's time grows with the square of these.
MAX_BRACKETS = 256

_TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*')
      | (?P<double>"(?:[^"]|"")*")
      | (?P<tick>`(?:[^`]|``)*`)
      | (?P<line>--[^\n]*)
      | (?P<block>/\*.*?\*/)
      | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
      | (?P<number>[0-9][A-Za-z0-9_.]*)
      | (?P<space>[ \t\r\n]+)
      | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
# In T-SQL and SQLite, brackets quote a name; elsewhere they index an array.
_BRACKETED = re.compile(r"\[(?:[^\]\[]|\]\])*\]")
_BRACKET_DIALECTS = frozenset({"tsql", "sqlite"})
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][0-9]*)?|0x[0-9A-Fa-f]+")
# A backslash before a quote ends the string on one server and not on another.
_BACKSLASH_QUOTE = re.compile(r"\\(?=['\"`])")
_FIRST_WORDS = frozenset({"select", "with", "insert", "update", "delete", "merge", "table", "values", "from"})
# Letters that change how a following quote is read: escapes, Unicode escapes, raw and bracketed strings, charsets.
_PREFIXES = frozenset({"b", "e", "n", "nq", "q", "r", "rb", "br", "u", "x"})
_HARMLESS_PREFIXES = frozenset({"e", "n", "x", "b"})
# Where `r'…'` is a string without escapes. One that ends in a backslash is refused like every other.
_RAW_DIALECTS = frozenset({"bigquery", "databricks", "spark"})


def text_problem(text: str, dialect: str) -> str | None:
    """Why this text is not read at all, or None."""
    if len(text) > MAX_LENGTH:
        return "too_long"
    if not text.strip():
        return "empty"
    if any(not letter.isprintable() and letter not in "\t\r\n" for letter in text):
        return "control_character"
    return _scan(text, dialect)


def rows_are_bracketed(text: str, dialect: str) -> bool:
    """Whether each row behind each ``values`` stands in brackets. Without them, a parser takes a name for a row where
    the server has a table: ``from values v, secret`` or ``from values (1), secret``."""
    pieces = [piece.lower() for piece, kind, _ in _pieces(text, dialect) if kind not in ("space", "line", "block")]
    closing: dict[int, int] = {}
    opened: list[int] = []
    for n, piece in enumerate(pieces):
        if piece == "(":
            opened.append(n)
        elif piece == ")" and opened:
            closing[opened.pop()] = n
    pieces.append(";")
    for n, piece in enumerate(pieces):
        row = n if piece == "values" else None
        while row is not None:
            if row + 1 not in closing:
                return False
            after = closing[row + 1] + 1
            row = after if pieces[after] == "," else None
    return True


def _pieces(text: str, dialect: str) -> Iterator[tuple[str, str, int]]:
    """The text in pieces: each with its kind, and where it ends. The pattern takes any character, if need be alone."""
    at = 0
    while at < len(text):
        found = _BRACKETED.match(text, at) if dialect in _BRACKET_DIALECTS else None
        found = found or _TOKEN.match(text, at)
        if found is None:
            raise ValueError("a character that no pattern takes")
        at = found.end()
        yield found[0], found.lastgroup or "bracket", at


def _scan(text: str, dialect: str) -> str | None:
    if text.count("[") > MAX_BRACKETS:
        return "nested_too_deep"
    depth, ended, first, before = 0, False, "", ""
    for piece, kind, at in _pieces(text, dialect):
        problem = _PROBLEMS[kind](piece, text[at : at + 1], before, dialect)
        if problem is not None:
            return problem
        if kind in ("space", "line", "block"):
            before = ""
            continue
        if ended:
            return "several_statements"
        ended = piece == ";"
        depth += (piece == "(") - (piece == ")")
        if depth > MAX_DEPTH:
            return "nested_too_deep"
        if not first and piece != "(":
            first = piece.lower()
        before = piece.lower() if kind == "word" else piece if kind == "other" else ""
    return None if first in _FIRST_WORDS else "statement_not_allowed"


def _string(piece: str, following: str, before: str, dialect: str) -> str | None:
    if _BACKSLASH_QUOTE.search(piece):
        return "backslash_before_quote"
    raw = before == "r" and dialect in _RAW_DIALECTS
    if before == "&" or (before in _PREFIXES and before not in _HARMLESS_PREFIXES and not raw):
        return "string_prefix"
    # Some servers read three quotes as the start of a longer string.
    if piece.startswith(("''", '""')) and (len(piece) > 2 or following in ("'", '"')):
        return "triple_quote"
    return None


def _line(piece: str, following: str, before: str, dialect: str) -> str | None:
    # MySQL takes `--` for two minus signs unless a space follows. Some servers end a comment at a carriage return.
    if "\r" in piece[:-1]:
        return "comment"
    return None if piece == "--" or piece[2] in " \t\r" else "comment"


def _block(piece: str, following: str, before: str, dialect: str) -> str | None:
    # `/*!` and `/*M!` are executed by MySQL and MariaDB, `/*+` is a hint; nesting is read in two ways.
    return "comment" if piece[2:3] in ("!", "+", "M", "m", "$", "@") or "/*" in piece[2:] else None


def _tick(piece: str, following: str, before: str, dialect: str) -> str | None:
    return "backslash_before_quote" if "\\" in piece else None


def _word(piece: str, following: str, before: str, dialect: str) -> str | None:
    return None


def _number(piece: str, following: str, before: str, dialect: str) -> str | None:
    # `1from t` is two words on some servers, one on others.
    return None if _NUMBER.fullmatch(piece) else "unreadable"


def _other(piece: str, following: str, before: str, dialect: str) -> str | None:
    if piece in "'\"`":
        return "unterminated"
    if piece == "/" and following == "*":
        return "unterminated"
    if piece == "#" and dialect not in ("postgres", "redshift"):
        return "comment"
    # Snowflake's second line comment; elsewhere a division.
    if piece == "/" and following == "/" and dialect == "snowflake":
        return "comment"
    # Pipe syntax: the parser names its steps itself, and a real table of such a name would be hidden behind one.
    if piece == "|" and following == ">":
        return "pipe_syntax"
    if piece == "$" and not following.isdigit():
        return "dollar_quote"
    # Templates, ODBC escapes, client commands and stages.
    if piece in "{}\\" or (piece == "[" and dialect in _BRACKET_DIALECTS):
        return "unreadable"
    return None if piece.isascii() else "non_ascii"


_PROBLEMS = {
    "string": _string,
    "double": _string,
    "tick": _tick,
    "bracket": _word,
    "line": _line,
    "block": _block,
    "word": _word,
    "number": _number,
    "space": _word,
    "other": _other,
}
