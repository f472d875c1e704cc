"""A look at SQL text before any parser does: quotes, comments and separators that databases read alike.

A parser that is not the database's own can be led astray by what it takes for a string or a comment. Rules:
1. The text is cut into pieces here as the dialect's servers cut it. Where a setting of the server decides (a backslash
   in MySQL, PostgreSQL and Redshift), it is cut in both ways: they must agree, or the other one must be no statement.
2. What one server reads as a comment and another executes is refused. Every other comment is blanked out before the
   parser sees the text.
3. The parser must cut the text into the same pieces (``cut_alike``); where it does not, the text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

# How much work a statement may be: the parser's time grows with the pieces, not with long texts and comments.
MAX_PIECES = 8_192
MAX_LENGTH = 262_144
MAX_DEPTH = 40
# `a[1][1][1]…`: the parser's time grows with the square of these.
MAX_BRACKETS = 160

_PLAIN_STRING = r"'(?:[^']|'')*'"
_ESCAPED_STRING = r"'(?:[^'\\]|\\.|'')*'"
# Two strings side by side, where another dialect has a quote that is written twice.
_ONLY_ESCAPED = r"'(?:[^'\\]|\\.)*'"
_PLAIN_DOUBLE = r'"(?:[^"]|"")*"'
_ESCAPED_DOUBLE = r'"(?:[^"\\]|\\.|"")*"'
_ONLY_ESCAPED_DOUBLE = r'"(?:[^"\\]|\\.)*"'
_TRIPLE = r"'''(?:[^\\]|\\.)*?'''|" + r'"""(?:[^\\]|\\.)*?"""'
# In T-SQL and SQLite, brackets quote a name; elsewhere they index an array.
_BRACKETED = r"\[(?:[^\]\[]|\]\])*\]"
_BRACKET_DIALECTS = frozenset({"tsql", "sqlite"})
_DOLLARS = r"\$(?P<tag>(?:[A-Za-z_][A-Za-z0-9_]*)?)\$.*?\$(?P=tag)\$"

# Where a backslash always escapes, with what may stand in a string there; where it never does; where a setting says.
_ESCAPES = frozenset({"bigquery", "clickhouse", "databricks", "snowflake", "spark"})
_MAY_ESCAPE = frozenset({"mysql", "postgres", "redshift"})
# Of these, the way in which the parser reads them.
_PARSED_AS_ESCAPED = frozenset({"mysql", "redshift"})
# Where double quotes stand around a text, and not around a name.
_DOUBLE_IS_TEXT = frozenset({"bigquery", "databricks", "mysql", "spark"})
_NO_DOUBLED_QUOTES = frozenset({"bigquery", "databricks", "spark"})
_E_STRINGS = frozenset({"duckdb", "postgres", "redshift"})
_HASH_COMMENTS = frozenset({"bigquery", "mysql"})
_DOLLAR_DIALECTS = frozenset({"duckdb", "postgres", "snowflake"})
# `/*+ … */` is for the planner there, and cannot set anything. Elsewhere a server may do more with it.
_HARMLESS_HINTS = frozenset(
    {"bigquery", "databricks", "duckdb", "oracle", "snowflake", "spark", "sqlite", "trino", "tsql"}
)
_BRACE_DIALECTS = frozenset({"duckdb", "snowflake"})

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][0-9]*)?|0x[0-9A-Fa-f]+")
_BACKSLASH_QUOTE = re.compile(r"\\(?=['\"`])")
_FIRST_WORDS = frozenset({"select", "with", "insert", "update", "delete", "merge", "table", "values", "from"})
# Letters that change how a following quote is read: escapes, Unicode escapes, raw and bracketed strings, charsets.
_PREFIXES = frozenset({"b", "e", "n", "nq", "q", "r", "rb", "br", "u", "x"})
_HARMLESS_PREFIXES = frozenset({"e", "n", "x", "b"})
# Where `r'…'` is a string without escapes. One that ends in a backslash is refused like every other.
_RAW_DIALECTS = frozenset({"bigquery", "databricks", "spark"})
_COMMENTS = frozenset({"line", "block"})
_BLANK = frozenset({"space", *_COMMENTS})


class Piece(NamedTuple):
    """A part of the text, what it is, and where it stands."""

    text: str
    kind: str
    start: int
    end: int


def text_problem(text: str, dialect: str) -> str | None:
    """Why this text is not read at all, or None."""
    if len(text) > MAX_LENGTH:
        return "too_long"
    if not text.strip():
        return "empty"
    if any(letter < " " and letter not in "\t\r\n" for letter in text) or "\x7f" in text:
        return "control_character"
    if "|>" in text and "__tmp" in text.lower():
        return "pipe_syntax"
    escaped = dialect in _ESCAPES or dialect in _PARSED_AS_ESCAPED
    problem = _scan(text, dialect, escaped)
    if problem is None and dialect in _MAY_ESCAPE and _BACKSLASH_QUOTE.search(text):
        return None if _read_alike(text, dialect) else "backslash_before_quote"
    return problem


def without_comments(text: str, dialect: str) -> str:
    """The text with blanks for its comments, so that everything else stands where it stood."""
    return "".join(
        re.sub(r"[^\n]", " ", piece.text) if piece.kind in _COMMENTS else piece.text for piece in _pieces(text, dialect)
    )


def cut_alike(text: str, dialect: str, tokens: Sequence[Any]) -> bool:
    """Whether each token of the parser begins and ends where a piece of the text does, and none begins in a text."""
    pieces = [piece for piece in _pieces(text, dialect) if piece.kind not in _BLANK]
    starts, ends = {piece.start for piece in pieces}, {piece.end for piece in pieces}
    for piece in pieces:
        # Of a number, a parser may make several tokens; there is nothing in it but digits and a few letters.
        if piece.kind == "number":
            starts.update(range(piece.start, piece.end))
            ends.update(range(piece.start + 1, piece.end))
    if any(token.start not in starts or token.end + 1 not in ends for token in tokens):
        return False
    # Nothing may stand between two tokens but blanks.
    spans = iter(tokens)
    span = next(spans, None)
    for piece in pieces:
        while span is not None and span.end < piece.start:
            span = next(spans, None)
        if span is None or piece.start < span.start:
            return False
    return True


def rows_are_bracketed(text: str, dialect: str) -> bool:
    """Whether each row behind each ``values`` stands in brackets. Without them, a parser takes a name for a row where
    the server has a table: ``from values v, secret`` or ``from values (1), secret``."""
    pieces = [piece.text.lower() for piece in _pieces(text, dialect) if piece.kind not in _BLANK]
    closing: dict[int, int] = {}
    opened: list[int] = []
    for n, piece in enumerate(pieces):
        if piece == "(":
            opened.append(n)
        elif piece == ")" and opened:
            closing[opened.pop()] = n
    pieces.append(";")
    for n, piece in enumerate(pieces):
        row = n if piece == "values" and pieces[n - 1] != "." else None
        while row is not None:
            if row + 1 not in closing:
                return False
            after = closing[row + 1] + 1
            row = after if pieces[after] == "," else None
    return True


def _pattern(dialect: str, escaped: bool) -> re.Pattern[str]:
    doubled = dialect not in _NO_DOUBLED_QUOTES
    string = (_ESCAPED_STRING if doubled else _ONLY_ESCAPED) if escaped else _PLAIN_STRING
    double = _PLAIN_DOUBLE
    if escaped and dialect in _DOUBLE_IS_TEXT:
        double = _ESCAPED_DOUBLE if doubled else _ONLY_ESCAPED_DOUBLE
    line = "--" + ("|//" if dialect == "snowflake" else "") + ("|#" if dialect in _HASH_COMMENTS else "")
    return re.compile(
        rf"""(?P<triple>{_TRIPLE if dialect == "bigquery" else "(?!)"})
          | (?P<string>{string})
          | (?P<double>{double})
          | (?P<tick>`(?:[^`]|``)*`)
          | (?P<bracket>{_BRACKETED if dialect in _BRACKET_DIALECTS else "(?!)"})
          | (?P<dollars>{_DOLLARS if dialect in _DOLLAR_DIALECTS else "(?!)(?P<tag>)"})
          | (?P<line>(?:{line.replace("#", "[#]")})[^\n]*)
          | (?P<block>/\*.*?\*/)
          | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
          | (?P<number>[0-9][A-Za-z0-9_.]*)
          | (?P<space>[ \t\r\n]+)
          | (?P<other>.)""",
        re.DOTALL | re.VERBOSE,
    )


_DIALECTS = frozenset(
    {"bigquery", "clickhouse", "databricks", "duckdb", "mysql", "oracle", "postgres", "redshift", "snowflake"}
    | {"spark", "sqlite", "trino", "tsql"}
)
_PATTERNS = {(dialect, escaped): _pattern(dialect, escaped) for dialect in _DIALECTS for escaped in (False, True)}
_E_STRING = re.compile(_ESCAPED_STRING, re.DOTALL)


def _pieces(text: str, dialect: str, escaped: bool | None = None) -> Iterator[Piece]:
    """The text in pieces. The pattern takes any character, if need be alone."""
    if escaped is None:
        escaped = dialect in _ESCAPES or dialect in _PARSED_AS_ESCAPED
    match = _PATTERNS[dialect, escaped].match
    at, last = 0, ""
    while at < len(text):
        found = _E_STRING.match(text, at) if last == "e" and dialect in _E_STRINGS else None
        kind = "string"
        if found is None:
            found = match(text, at)
            if found is None:
                raise ValueError("a character that no pattern takes")
            kind = found.lastgroup or "other"
        yield Piece(found[0], kind, at, found.end())
        at, last = found.end(), found[0].lower() if kind == "word" else ""


def _read_alike(text: str, dialect: str) -> bool:
    """Whether the other reading of backslashes gives the same pieces, or is a single statement that no server takes."""
    as_parsed = dialect in _PARSED_AS_ESCAPED
    here = [piece.end for piece in _pieces(text, dialect, as_parsed)]
    other = list(_pieces(text, dialect, not as_parsed))
    if [piece.end for piece in other] == here:
        return True
    for piece in other:
        # A server that takes several statements would run the first of them.
        if piece.kind == "other" and piece.text == ";":
            return False
        if piece.kind == "other" and piece.text in "'\"`":
            return True
    return False


def _scan(text: str, dialect: str, escaped: bool) -> str | None:
    depth, ended, first, before, count, brackets = 0, False, "", "", 0, 0
    for piece, kind, _, at in _pieces(text, dialect, escaped):
        problem = _PROBLEMS[kind](piece, text[at : at + 1], before, dialect)
        if problem is not None:
            return problem
        if kind in _BLANK:
            before = ""
            continue
        if ended:
            return "several_statements"
        count += 1
        if count > MAX_PIECES:
            return "too_long"
        ended = piece == ";"
        depth += (piece in ("(", "{")) - (piece in (")", "}"))
        brackets += kind == "other" and piece == "["
        if depth > MAX_DEPTH or brackets > MAX_BRACKETS:
            return "nested_too_deep"
        if not first and piece != "(":
            first = piece.lower()
        before = piece.lower() if kind == "word" else piece if kind in ("other", "number") else ""
    return None if first in _FIRST_WORDS or _is_replace(first, dialect) else "statement_not_allowed"


def _is_replace(first: str, dialect: str) -> bool:
    return first == "replace" and dialect in ("mysql", "sqlite")


def _string(piece: str, following: str, before: str, dialect: str) -> str | None:
    raw = before == "r" and dialect in _RAW_DIALECTS
    if raw and _BACKSLASH_QUOTE.search(piece):
        return "backslash_before_quote"
    if before == "&" or (before in _PREFIXES and before not in _HARMLESS_PREFIXES and not raw):
        return "string_prefix"
    # Some servers read three quotes as the start of a longer string.
    if piece.startswith(("''", '""')) and (len(piece) > 2 or following in ("'", '"')):
        return "triple_quote"
    return None


def _double(piece: str, following: str, before: str, dialect: str) -> str | None:
    if dialect not in _DOUBLE_IS_TEXT and _BACKSLASH_QUOTE.search(piece):
        return "backslash_before_quote"
    return _string(piece, following, before, dialect)


def _triple(piece: str, following: str, before: str, dialect: str) -> str | None:
    if following in ("'", '"'):
        return "triple_quote"
    return _string(piece[2:-2], "", before, dialect)


def _line(piece: str, following: str, before: str, dialect: str) -> str | None:
    # Some servers end a comment at a carriage return.
    if "\r" in piece[:-1] or _breaks_lines(piece):
        return "comment"
    # MySQL takes `--` for two minus signs unless a space follows.
    return (
        "comment" if dialect == "mysql" and piece.startswith("--") and piece[2:3] not in ("", " ", "\t", "\r") else None
    )


def _block(piece: str, following: str, before: str, dialect: str) -> str | None:
    # `/*!` and `/*M!` are executed by MySQL and MariaDB, `/*+` is a hint; nesting is read in two ways.
    if piece[2:3] == "+" and dialect in _HARMLESS_HINTS:
        return "comment" if "/*" in piece[2:] else None
    executed = piece[2:3] in ("!", "+", "$", "@") or piece[2:4] in ("M!", "m!")
    return "comment" if executed or "/*" in piece[2:] else None


def _breaks_lines(piece: str) -> bool:
    return any(letter in piece for letter in "\x85\u2028\u2029")


def _tick(piece: str, following: str, before: str, dialect: str) -> str | None:
    return "backslash_before_quote" if "\\" in piece else None


def _dollars(piece: str, following: str, before: str, dialect: str) -> str | None:
    # A letter or a digit before it makes it a part of a name; Snowflake knows no tags.
    return "dollar_quote" if re.search(r"[\w$]\Z", before) or (dialect == "snowflake" and piece[1:2] != "$") else None


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
    # Pipe syntax: the parser names its steps itself, and a real table of such a name would be hidden behind one.
    if piece == "|" and following == ">" and dialect != "bigquery":
        return "pipe_syntax"
    if piece == "$" and not following.isdigit():
        return "dollar_quote"
    # Templates, ODBC escapes, client commands and stages; a structure where the dialect writes one so.
    if piece in "{}" and dialect in _BRACE_DIALECTS and not (piece == "{" and following in ("{", "%", "#")):
        return None
    if piece in "{}\\" or (piece == "[" and dialect in _BRACKET_DIALECTS):
        return "unreadable"
    if not piece.isascii():
        return "non_ascii" if piece.isprintable() else "control_character"
    return None


_PROBLEMS = {
    "triple": _triple,
    "string": _string,
    "double": _double,
    "tick": _tick,
    "bracket": _word,
    "dollars": _dollars,
    "line": _line,
    "block": _block,
    "word": _word,
    "number": _number,
    "space": _word,
    "other": _other,
}
