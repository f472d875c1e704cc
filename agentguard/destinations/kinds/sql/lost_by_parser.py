"""What was written in a statement and is not in the parser's tree.

The parser takes only as many arguments of a function as it knows of, and drops the rest without a word, queries and
calls in them included; the server may know of more. Names, literals and most calls say in the tree where they stood in
the text, so what is missing there was dropped, or stands for no name: a unit, a format, a path into JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agentguard.destinations.kinds.sql.allowed_nodes import words

if TYPE_CHECKING:
    from sqlglot import exp

_QUERY = frozenset({"from", "select", "table", "values", "with"})
_NAMES = frozenset({"IDENTIFIER", "VAR"})
# In these, `from` stands between arguments.
_TAKE_FROM = frozenset({"extract", "overlay", "substr", "substring", "trim"})
# Harmless calls, and words before a bracket, of which the tree does not say where they stood.
_NOWHERE = words(
    """against approx_percentile approx_quantile arg_max arg_min argmax argmin arrayjoin bernoulli cast ceil chr
    conflict convert count curdate date_part datepart decode exclude extract floor group group_concat if initcap
    json_agg json_array json_arrayagg json_exists json_object json_objectagg json_query json_value jsonb_exists
    key listagg make_interval match materialized max max_by min min_by normalize object_construct_keep_null offset
    ordinal overlay percentile percentile_approx placing position quantile quantile_cont quantile_disc reservoir
    safe_cast safe_offset safe_ordinal string_agg stringagg substr substring system to_number transform translate trim
    try_cast try_convert values zone"""
)
# Words before a bracket in a clause.
_CLAUSES = {
    "ForClause": words("elements path raw root"),
    "HistoricalData": words("at before"),
    "OpenJSON": words("openjson"),
    "Pivot": words("pivot unpivot"),
    "QueryOption": words("for optimize parameterization table"),
    "TableSample": words("sample system"),
}
# Aggregates of ClickHouse, which have a thousand names.
_AGGREGATES = frozenset({"AnonymousAggFunc", "CombinedAggFunc", "CombinedParameterizedAgg", "ParameterizedAgg"})


def lost_names(tokens: Sequence[Any], tree: exp.Expr) -> frozenset[str] | None:
    """The names among arguments that are not in the tree, in lower case; None where a call or a table is not."""
    nodes = list(tree.walk())
    kept = {node.meta["start"] for node in nodes if "start" in node.meta}
    nowhere = _NOWHERE.union(str(node.this).lower() for node in nodes if type(node).__name__ in _AGGREGATES)
    nowhere = nowhere.union(*(_CLAUSES.get(type(node).__name__, frozenset()) for node in nodes))
    lost: set[str] = set()
    announced = 0
    # Of each open bracket: whose arguments stand in it, and whether it is a query.
    callers: list[str] = []
    queries: list[bool] = []
    texts = ["", "", *_words(tokens), ""]
    leads = False
    for token, last, before, word, following in zip(tokens, texts, texts[1:], texts[2:], texts[3:], strict=False):
        kind = token.token_type.name
        if kind == "L_PAREN":
            callers.append(before)
            queries.append(following in _QUERY)
        elif kind == "R_PAREN" and queries:
            callers.pop()
            queries.pop()
        elif kind in _NAMES and token.start not in kept:
            name = token.text.lower()
            # BigQuery cuts a quoted name at its dots.
            if (following == "(" and name not in nowhere) or (leads and "." not in name):
                return None
            if queries and not queries[-1] and before != ":":
                lost.add(name)
        leads = word in ("into", "join")
        if word == "table":
            leads = True
            announced += following != "(" and before != "into"
        elif word == "from":
            compared = before == "distinct" and last in ("is", "not")
            argument = bool(callers) and callers[-1] in _TAKE_FROM
            leads = not (compared or argument)
            announced += leads and before != "delete"
    return None if announced > sum(map(_is_read_from, nodes)) else frozenset(lost)


def _is_read_from(node: exp.Expr) -> bool:
    """Whether this is what ``from`` or ``table`` stands for. The parser makes one of its own around ``values``, and
    none of ``delete o from orders o``."""
    kind = type(node).__name__
    if kind == "Delete":
        return bool(node.args.get("tables")) and bool(node.this)
    return kind == "From" and node.this.alias != "_values"


def _words(tokens: Sequence[Any]) -> Iterator[str]:
    """The words, with nothing for a text, a name in quotes, and what a sign makes a name (``@from``, ``t.table``)."""
    end, before = -1, ""
    for token in tokens:
        kind = token.token_type.name
        quoted = kind == "IDENTIFIER" or kind.endswith("STRING")
        named = before in ("@", ".") and token.start == end and token.text[:1].isalpha()
        yield "" if quoted or named else str(token.text.lower())
        end, before = token.end + 1, token.text
