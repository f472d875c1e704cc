"""What the YAML parser's complaints mean for whoever wrote the file."""

from __future__ import annotations

import re

import yaml

# What these begin with is where the mistake is; the parser notices it only in a later line.
_BEGINS = frozenset(
    (
        *("while parsing a flow sequence", "while parsing a flow mapping", "while scanning a simple key"),
        "while scanning a quoted scalar",
    )
)
_ANY = re.compile("")
_TAB = re.compile(r"\t")
# Each line in one way: repeats inside of repeats would try all of them, on a line of many colons for ever.
_QUOTED = re.compile(r"""(?:- +)*(?:[^"'#]*: +)?["']""")
_SECOND_COLON = re.compile(r"[^#]*:\s[^#]*:\s")
_COLON_IN_QUOTES = re.compile(r"""[^"'#]*[^"'#: ] *"[^"]*: """)
_CONDITION_IN_QUOTES = "a colon and a space stand in this text; put all of it in single quotes: 'args.x == \"a: b\"'"
_WHOLE_IN_QUOTES = "text that begins with a quote ends with it; put the whole text in single quotes"

# What the parser says, the line it says it of, and what that means. The first that fits counts.
_MISREAD: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("", _TAB, "indent with spaces, not with tabs"),
    ("", _COLON_IN_QUOTES, _CONDITION_IN_QUOTES),
    ("did not find expected key", _QUOTED, _WHOLE_IN_QUOTES),
    ("did not find expected key", _ANY, "this line is not indented like the keys that it belongs to"),
    ("did not find expected '-'", _QUOTED, _WHOLE_IN_QUOTES),
    ("did not find expected '-'", _ANY, "among the entries of a list, this line begins with no `- ` in their column"),
    ("mapping values are not", _SECOND_COLON, "put text that holds a colon and a space in quotes"),
    ("mapping values are not", _ANY, "this line is indented too far, or the one above it has no colon"),
    (
        "did not find expected ','",
        _ANY,
        "a `[` or `{` here is not closed; put text that holds `[`, `]`, `{`, `}`, `,`, `#` or `: ` in quotes",
    ),
    (
        "could not find expected ':'",
        _ANY,
        "a space is missing after the colon of a key, or after a dash; or no colon is there",
    ),
    ("unknown escape", _ANY, "a backslash means something else in double quotes; use single quotes"),
    ("unexpected end of stream", _ANY, "a quote is opened and never closed"),
    ("cannot start any token", _ANY, "put text that begins with such a sign in quotes"),
)


def misread(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """What the parser could not read, in an owner's words, and the line to mend: where it began, if that is known."""
    at = error.problem_mark or error.context_mark
    noticed = -1 if at is None else at.line
    began = noticed
    if error.context_mark is not None and error.context in _BEGINS:
        began = error.context_mark.line
    lines = text.split("\n")[began : began + 1] if began >= 0 else []
    written = lines[0].lstrip(" ") if lines else ""
    why = next(
        (said for sign, form, said in _MISREAD if sign in (error.problem or "") and form.match(written)),
        error.problem or error.context,
    )
    return began + 1, f"not YAML: {why}" + (f" (noticed in line {noticed + 1})" if noticed > began else "")
