"""One statement out of a text, as ``sqlglot`` reads it: no second one, cut as servers cut it, quoted in no log."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from itertools import pairwise
from typing import TYPE_CHECKING

from agentguard.destinations.kinds.sql.allowed_nodes import STATEMENTS
from agentguard.destinations.kinds.sql.lost_by_parser import lost_names
from agentguard.destinations.kinds.sql.refusal import Refused
from agentguard.destinations.kinds.sql.text import cut_alike, without_comments

if TYPE_CHECKING:
    from sqlglot import exp

_REPLACE = re.compile(r"\s*replace(?=\s+\w)", re.IGNORECASE)
_parsing: ContextVar[bool] = ContextVar("parsing", default=False)


class _Silence(logging.Filter):
    """Keeps statements, which hold private values, out of the log: the parser quotes what it cannot read."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _parsing.get()


_SILENCE = _Silence()


def parse(text: str, dialect: str) -> tuple[exp.Expr, frozenset[str] | None, frozenset[int]]:
    """The one statement; the names that the parser made nothing of, or None where it lost more than names; and where
    a word stands that a dot or ``as`` makes a name."""
    from sqlglot.dialects.dialect import Dialect

    logging.getLogger("sqlglot").addFilter(_SILENCE)
    silent = _parsing.set(True)
    try:
        language = Dialect.get_or_raise(dialect)
        text = without_comments(text, dialect)
        # The parser knows `replace` as a statement only behind `insert or`. Everything stays where it stood.
        replace = _REPLACE.match(text)
        if replace is not None:
            text = text[: replace.end() - 7] + "insert " + text[replace.end() :]
        tokens = language.tokenize(text)
        if not cut_alike(text, dialect, tokens):
            raise Refused("unreadable")
        trees = [tree for tree in language.parser().parse(tokens, text) if tree is not None]
    except (RecursionError, Refused):
        raise
    # It raises more than its own errors on text that nobody has tried yet.
    except Exception:
        raise Refused("unreadable") from None
    finally:
        _parsing.reset(silent)
    if len(trees) != 1:
        raise Refused("several_statements" if trees else "empty")
    tree = trees[0]
    if type(tree).__name__ not in STATEMENTS:
        raise Refused("statement_not_allowed")
    if replace is not None:
        tree.set("alternative", "replace")
    named = frozenset(after.start for before, after in pairwise(tokens) if before.text.lower() in (".", "as"))
    return tree, lost_names(tokens, tree), named
