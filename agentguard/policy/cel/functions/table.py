"""The functions that conditions have beside CEL's own: what each takes, what it gives, and what it runs.

A call is *bound* when the bundle loads: a field's path, a comparison and a span that stand there as text are read then,
so that a wrong one is an error with a line. What is left are the arguments that a call brings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from agentguard.core.paths import Step, parse_place
from agentguard.core.tallies import NEVER, SALT, key_of
from agentguard.policy.cel.functions import lists, numbers, texts, times
from agentguard.policy.cel.functions.values import Refused, alike
from agentguard.policy.cel.scope import TALLIES
from agentguard.policy.cel.tree import Call, Const, Ident, Items, Node
from agentguard.policy.words import shown

# What an argument gives that is not there, where a function may be told so.
ABSENT: Any = type("Absent", (), {})()


class Questions(Protocol):
    """What one evaluation remembers of the lists it was asked about."""

    def index(self, given: Any, place: lists.Place) -> lists.Index:
        """The list by that field, made once for a list that stays as it is."""


Run: TypeAlias = "Callable[..., Any]"
Gives: TypeAlias = Literal["value", "time"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A call whose literals are read. ``run`` takes the values of ``arguments``, after an evaluation's ``Questions``.

    ``is_strict``: what it refuses refuses the whole condition. ``may_lack``: its first argument need not be there.
    """

    name: str
    arguments: tuple[Node, ...]
    run: Run
    gives: Gives = "value"
    is_strict: bool = True
    may_lack: bool = False


def bind(call: Call) -> Bound | None:
    """The call with its literals read, or None where it is not one of these functions. Raises ValueError."""
    if call.is_method:
        return _METHODS[call.function](call.function, call.arguments) if call.function in _METHODS else None
    return _FUNCTIONS[call.function](call.function, call.arguments) if call.function in _FUNCTIONS else None


def _plain(function: Callable[..., Any], gives: Gives = "value", *, is_strict: bool = True) -> Binder:
    def binds(name: str, given: Sequence[Node]) -> Bound:
        return Bound(name, tuple(given), lambda _, *values: function(*values), gives, is_strict)

    return binds


def _over(function: Callable[..., Any]) -> Binder:
    """A function that takes a list, and the path of a field in its elements where one is given."""

    def binds(name: str, given: Sequence[Node]) -> Bound:
        place = _place(name, given[1]) if len(given) > 1 else None
        return Bound(name, (given[0],), lambda _, values: function(values, place))

    return binds


def _one(name: str, given: Sequence[Node]) -> Bound:
    place = _place(name, given[1])
    return Bound(name, (given[0], given[2]), lambda asked, values, value: asked.index(values, place).one(value))


def _where(name: str, given: Sequence[Node]) -> Bound:
    place = _place(name, given[1])
    if len(given) == 3:
        return Bound(name, (given[0], given[2]), lambda asked, values, value: asked.index(values, place).where(value))
    said = given[2].value if isinstance(given[2], Const) else None
    if said not in lists.COMPARISONS:
        words = ", ".join(f'"{word}"' for word in lists.COMPARISONS)
        raise ValueError(f"`where` compares with one of {words}, written as text; without it, with `==`")
    return Bound(name, (given[0], given[3]), lambda _, values, value: lists.where(values, place, str(said), value))


def _unchanged(name: str, given: Sequence[Node]) -> Bound:
    """Whether an argument is what it was; of an object, all but the members that may change."""
    if len(given) > 2:
        return _all_but(name, given)

    def run(_: Questions, new: Any, old: Any) -> bool:
        if new is ABSENT:
            return True
        if old is ABSENT:
            raise Refused("what it was before is missing")
        return alike(new, old)

    return Bound(name, tuple(given), run, may_lack=True)


def _all_but(name: str, given: Sequence[Node]) -> Bound:
    listed = given[2].values if isinstance(given[2], Items) and given[2].is_list else ()
    names = frozenset(node.value for node in listed if isinstance(node, Const) and type(node.value) is str)
    if not names or len(names) != len(listed):
        raise ValueError('what `unchanged` leaves out is written as a list of names, such as `["start", "end"]`')
    # An argument that is left out stays as it is; of another object nobody knows what a missing member means.
    may_miss = isinstance(given[0], Ident)

    def run(_: Questions, new: Any, old: Any) -> bool:
        if new is ABSENT:
            return True
        if type(new) is not dict or type(old) is not dict:
            raise Refused("what is compared, or what it was before, is no object, or missing")
        said, before = new.keys() - names, old.keys() - names
        if not may_miss and said != before:
            return False
        if not said <= before:
            raise Refused("something that is given was not there before")
        return all(alike(new[each], old[each]) for each in said)

    return Bound(name, (given[0], given[1]), run, may_lack=True)


def _done_for(name: str, given: Sequence[Node]) -> Bound:
    """Whether the step's call for this value has succeeded. What nobody knows for sure is neither yes nor no."""
    step = given[0].value if isinstance(given[0], Const) else None
    if type(step) is not str:
        raise ValueError('the step of `done_for` is written as text, such as `done_for("cancel", args.id)`')

    def run(_: Questions, value: Any, tallies: Any) -> bool:
        taken, back, done = tallies.get(key_of(step, value, tallies[SALT]), NEVER)
        if not done and taken != back:
            raise Refused(f"a call of {shown(step)} for this value is under way, or nobody knows what came of it")
        return bool(done)

    return Bound(name, (given[1], Ident(TALLIES)), run)


def _plus(name: str, given: Sequence[Node]) -> Bound:
    span = given[1]
    if isinstance(span, Const) and not times.is_span(str(span.value)):
        raise ValueError(
            f'{shown(str(span.value))} is no span of time; write one such as "3 days", "-1 month", "2 hours"'
        )
    return Bound(name, tuple(given), lambda _, *values: times.plus(*values))


def _place(name: str, node: Node) -> tuple[Step, ...]:
    if not isinstance(node, Const) or type(node.value) is not str:
        raise ValueError(f'the field of `{name}` is written as text, such as `"size"` or `"owner.name"`')
    return parse_place(node.value)


Binder: TypeAlias = "Callable[[str, Sequence[Node]], Bound]"

_FUNCTIONS: Mapping[str, Binder] = {
    "max": _over(lists.largest),
    "min": _over(lists.smallest),
    "sum": _over(lists.total),
    "sort": _over(lists.in_sequence),
    "distinct": _over(lists.distinct),
    "last": _plain(lists.last),
    "one": _one,
    "where": _where,
    "lines": _plain(texts.lines),
    "number": _plain(numbers.number),
    "numbers": _plain(numbers.numbers),
    "same_amount": _plain(numbers.same_amount),
    "time": _plain(times.time, "time"),
    "plus": _plus,
    "unchanged": _unchanged,
    "done_for": _done_for,
}
# CEL's own words, run here because the runtime's do not bound what they make, or how long they look.
_METHODS: Mapping[str, Binder] = {
    "split": _plain(texts.split),
    "join": _plain(texts.join),
    "replace": _plain(texts.replace),
    "indexOf": _plain(texts.index_of),
    "contains": _plain(texts.contains, is_strict=False),
}
NAMES = tuple(_FUNCTIONS)

# For the checker: what each gives, and what it takes. `list` is also an object, of whose values the list is.
_L, _M = "list(dyn)", "map(string, dyn)"
_OVER = (("list",), ("list", "string"))
SIGNATURES: Mapping[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "max": ("dyn", _OVER),
    "min": ("dyn", _OVER),
    "sum": ("dyn", _OVER),
    "sort": ("list", _OVER),
    "distinct": ("list", _OVER),
    "last": ("dyn", (("list",),)),
    "one": ("dyn", (("list", "string", "dyn"),)),
    "where": ("list", (("list", "string", "dyn"), ("list", "string", "string", "dyn"))),
    "lines": ("list", (("string",),)),
    "number": ("dyn", (("string",), ("int",), ("double",))),
    "numbers": ("list", (("string",),)),
    "same_amount": ("bool", (("int", "int"), ("int", "double"), ("double", "int"), ("double", "double"))),
    "time": ("timestamp", (("string",), ("timestamp",))),
    "plus": ("string", (("string", "string"),)),
    "unchanged": ("bool", (("dyn", "dyn"), ("dyn", "dyn", "list"))),
    "done_for": ("bool", (("string", "dyn"),)),
}
