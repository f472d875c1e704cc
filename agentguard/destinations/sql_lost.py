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
_READS = frozenset({"from", "join", "table"})
_LEADS = frozenset({*_READS, "into"})
_NAMES = frozenset({"IDENTIFIER", "VAR"})
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
    """The names among arguments that are not in the tree, in lower case; None where a query or a call is not."""
    nodes = list(tree.walk())
    kept = {node.meta["start"] for node in nodes if "start" in node.meta}
    nowhere = _NOWHERE.union(str(node.this).lower() for node in nodes if type(node).__name__ in _AGGREGATES)
    lost: set[str] = set()
    # Of each open bracket: whether it is a query that reads something, and whether anything of it was kept.
    open_brackets: list[list[bool]] = []
    texts = ["", *(token.text for token in tokens)]
    for token, following, before in zip(tokens, [*tokens[1:], None], texts[:-1], strict=True):
        word, kind = token.text.lower(), token.token_type.name
        if kind == "L_PAREN":
            open_brackets.append([following is not None and following.text.lower() in _QUERY, False, False])
        elif kind == "R_PAREN" and open_brackets:
            query, reads, found = open_brackets.pop()
            if query and reads and not found:
                return None
            if open_brackets:
                open_brackets[-1][2] = open_brackets[-1][2] or found
        elif token.start in kept:
            if open_brackets:
                open_brackets[-1][2] = True
        elif kind in _NAMES:
            called = following is not None and following.token_type.name == "L_PAREN"
            # BigQuery cuts a quoted name at its dots.
            if (called and word not in nowhere) or (before.lower() in _LEADS and "." not in word):
                return None
            if open_brackets and not open_brackets[-1][0] and before != ":":
                lost.add(word)
        elif word in _READS and open_brackets:
            open_brackets[-1][1] = True
    return frozenset(lost)
