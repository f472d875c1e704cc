"""What was written in a statement and is not in the parser's tree.

The parser takes only as many arguments of a function as it knows of, and drops the rest without a word, queries and
calls in them included; the server may know of more. Names, literals and most calls say in the tree where they stood in
the text, so what is missing there was dropped, or stands for no name: a unit, a format, a path into JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentguard.destinations.sql_allowed import words

if TYPE_CHECKING:
    from sqlglot import exp

_QUERY = frozenset({"from", "select", "table", "values", "with"})
_LEADS = frozenset({"from", "into", "join", "table"})
_NAMES = frozenset({"IDENTIFIER", "VAR"})
# In these, `from` stands between arguments.
_TAKE_FROM = frozenset({"extract", "overlay", "substr", "substring", "trim"})
# Harmless calls, and words before a bracket, of which the tree does not say where they stood.
_NOWHERE = words(
    """against approx_percentile approx_quantile arg_max arg_min argmax argmin arrayjoin bernoulli cast ceil chr
    conflict convert count curdate date_part datepart decode exclude extract floor group group_concat if initcap
    json_agg json_array json_arrayagg json_exists json_object json_objectagg json_query json_value jsonb_exists
    key listagg make_interval match materialized max max_by min min_by normalize object_construct_keep_null
    overlay percentile percentile_approx placing position quantile quantile_cont quantile_disc reservoir
    safe_cast safe_ordinal string_agg stringagg substr substring system to_number transform translate trim
    try_cast try_convert values zone"""
)
# Aggregates of ClickHouse, which have a thousand names.
_AGGREGATES = frozenset({"AnonymousAggFunc", "CombinedAggFunc", "CombinedParameterizedAgg", "ParameterizedAgg"})


def lost_names(tokens: Sequence[Any], tree: exp.Expr) -> frozenset[str] | None:
    """The names among arguments that are not in the tree, in lower case; None where a call or a table is not."""
    nodes = list(tree.walk())
    kept = {node.meta["start"] for node in nodes if "start" in node.meta}
    nowhere = _NOWHERE.union(str(node.this).lower() for node in nodes if type(node).__name__ in _AGGREGATES)
    lost: set[str] = set()
    # Of each open bracket: whether a query stands in it, and not arguments.
    queries: list[bool] = []
    texts = ["", *map(_word, tokens), ""]
    for token, before, following in zip(tokens, texts, texts[2:], strict=False):
        word, kind = token.text.lower(), token.token_type.name
        if kind == "L_PAREN":
            queries.append(following in _QUERY)
        elif kind == "R_PAREN" and queries:
            queries.pop()
        elif kind in _NAMES and token.start not in kept:
            # BigQuery cuts a quoted name at its dots.
            if (following == "(" and word not in nowhere) or (before in _LEADS and "." not in word):
                return None
            if queries and not queries[-1] and before != ":":
                lost.add(word)
    return None if _tables_announced(tokens) > sum(map(_is_read_from, nodes)) else frozenset(lost)


def _is_read_from(node: exp.Expr) -> bool:
    """Whether this is what ``from`` or ``table`` stands for. The parser makes one of its own around ``values``."""
    return type(node).__name__ == "From" and node.this.alias != "_values"


def _word(token: Any) -> str:
    """The word, where it is not a text or a name in quotes."""
    kind = token.token_type.name
    return "" if kind == "IDENTIFIER" or kind.endswith("STRING") else str(token.text.lower())


def _tables_announced(tokens: Sequence[Any]) -> int:
    """How often ``from`` or ``table`` leads to what is read. Where the tree knows of fewer, the parser forgot one."""
    texts = ["", "", *map(_word, tokens), ""]
    callers: list[str] = []
    count = 0
    for last, before, word, following in zip(texts, texts[1:], texts[2:], texts[3:], strict=False):
        if word == "(":
            callers.append(before)
        elif word == ")" and callers:
            callers.pop()
        elif word == "table":
            count += following != "(" and before != "into"
        elif word == "from":
            compared = before == "distinct" and last in ("is", "not")
            count += not (compared or before == "delete" or (callers and callers[-1] in _TAKE_FROM))
    return count
