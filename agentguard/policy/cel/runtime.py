"""The runtime of conditions: its environments, and the functions that a rewritten expression calls.

One evaluation has one frame. A function of ours that refuses what it is given leaves that in the frame, and the whole
condition is a fault whatever the expression made of it: `||`, `? :`, `exists` would swallow an error. So is one that
was entered and never reached, because one of its arguments was an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

from agentguard.policy.cel.functions.lists import Index, Place
from agentguard.policy.cel.functions.table import SIGNATURES
from agentguard.policy.cel.functions.values import Refused

# Values that a function may hand back to the expression, which takes each apart: about 20 ms of the runtime's time.
MAX_HANDED = 50_000

T = cel.Type
OPEN = T.Map(T.STRING, T.DYN)
PLACE = T.Map(T.STRING, T.STRING)
BASE: Mapping[str, Any] = {
    "args": OPEN,
    "inputs": OPEN,
    "kept": OPEN,
    "counts": T.Map(T.STRING, T.INT),
    "tallies": OPEN,
    "origins": T.Map(T.STRING, T.List(T.STRING)),
    "subject": T.STRING,
    "claims": OPEN,
    "destination": PLACE,
    "destinations": T.List(PLACE),
    "risk": T.STRING,
    "assurance": T.STRING,
    "now": T.TIMESTAMP,
}
# Where the elements stand that a loop is evaluated over at a time: in an object, of which the runtime takes apart only
# what it looks at, while it takes a list apart at once.
PART, ELEMENTS = "@part", "elements"

# How an expression asks for a value that is worked out here: by the number of its entry in the frame's plan.
Entry: TypeAlias = "Callable[..., Any]"


class Members:
    """What `in` finds in a list, or in the names of an object."""

    def __init__(self, given: Any) -> None:
        if type(given) is not list and type(given) is not dict:
            raise Refused("`in` looks into a list")
        self.given: Sequence[Any] = given if type(given) is list else [*given]
        scalars = (item for item in self.given if type(item) is not list and type(item) is not dict)
        self.keys = frozenset((type(item) is bool, item) for item in scalars)


class Frame:
    """What one evaluation knows: the names, what it worked out already, and whether anything refused."""

    __slots__ = ("_indexes", "_worked_out", "at_a_time", "entered", "fault", "names", "plan", "said")

    def __init__(self, plan: Sequence[Entry], names: Mapping[str, Any], at_a_time: int) -> None:
        self.plan = plan
        self.names = names
        self.at_a_time = at_a_time
        self.fault: str | None = None
        # The last thing that a function or a path had to say, where the expression may go on without it.
        self.said: str | None = None
        self.entered = 0
        self._worked_out: dict[int, Any] = {}
        self._indexes: dict[tuple[int, Place], tuple[Any, Index]] = {}

    def index(self, given: Any, place: Place) -> Index:
        """A list by one field of its elements. The list is held, so that its place in memory stays its own."""
        found = self._indexes.get((id(given), place))
        if found is None:
            found = self._indexes[id(given), place] = (given, Index(given, place))
        return found[1]

    def value(self, number: int) -> Any:
        """A value that is the same all through this evaluation, worked out when it is first asked for."""
        if number not in self._worked_out:
            self._worked_out[number] = self.run(number)
        return self._worked_out[number]

    def run(self, number: int, *values: Any) -> Any:
        """What the plan says under this number."""
        try:
            return self.plan[number](self, *values)
        except Refused as error:
            self.said = str(error)
            raise

    def members(self, number: int, given: Callable[[Frame], Any]) -> Members:
        """What one `in` looks into, made once."""
        if number not in self._worked_out:
            self._worked_out[number] = Members(given(self))
        found: Members = self._worked_out[number]
        return found

    def refuse(self, error: BaseException) -> None:
        """Keep the first refusal."""
        if self.fault is None:
            self.fault = str(error) if isinstance(error, Refused) else f"{type(error).__name__} in a function"


class _Now(threading.local):
    frame: Frame | None = None


_now = _Now()


def evaluated(program: Any, activation: Any, frame: Frame) -> Any:
    """The runtime's answer in this frame; an evaluation inside another returns to it."""
    outer = _now.frame
    _now.frame = frame
    try:
        return program.eval(activation)
    finally:
        _now.frame = outer


def _frame() -> Frame:
    if _now.frame is None:
        raise RuntimeError("an expression is evaluated without a frame")
    return _now.frame


def _enter() -> int:
    _frame().entered += 1
    return 0


def _value(number: int) -> Any:
    return _handed(_frame().value(number))


def _time_value(number: int) -> datetime:
    found: datetime = _frame().value(number)
    return found


def _call(number: int, values: list[Any]) -> Any:
    frame = _frame()
    found = frame.run(number, *values)
    return _handed(found) if type(found) is list or type(found) is dict else found


def _time_call(number: int, values: list[Any]) -> datetime:
    found: datetime = _frame().run(number, *values)
    return found


def _loop(number: int) -> bool:
    found: bool = _frame().run(number)
    return found


def _finite(value: float) -> float:
    if value - value != 0.0:
        error = Refused("a calculation gives a number that is not finite")
        _frame().refuse(error)
        raise error
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _handed(value: Any) -> Any:
    """A value that goes back to the expression: no number that it would take for another type, and not too much."""
    left = MAX_HANDED
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is list:
            left -= len(item)
            pending += item
        elif type(item) is dict:
            left -= len(item)
            pending += item.values()
        if left < 0:
            error = Refused(f"a function gives more than {MAX_HANDED:,} values; take one with `last`, `one` or `max`")
            _frame().refuse(error)
            raise error
    return value


_TYPES: Mapping[str, Any] = {
    "dyn": T.DYN,
    "list": T.List(T.DYN),
    "map": OPEN,
    "string": T.STRING,
    "int": T.INT,
    "double": T.DOUBLE,
    "bool": T.BOOL,
    "timestamp": T.TIMESTAMP,
}


def _overload(name: str, gives: Any, takes: Sequence[Any], run: Callable[..., Any] | None = None) -> Any:
    identity = "_".join((name, *(taken.name() for taken in takes)))
    return cel.Overload(identity, gives, list(takes), False, run) if run else cel.Overload(identity, gives, list(takes))


def _declared() -> list[Any]:
    """The functions that owners write, for the checker: what runs are those below."""
    found = []
    for name, (gives, forms) in SIGNATURES.items():
        every = [*forms] + [("map", *form[1:]) for form in forms if form[0] == "list"]
        overloads = [_overload(name, _TYPES[gives], [_TYPES[word] for word in form]) for form in every]
        found.append(cel.FunctionDecl(name, overloads))
    return found


def _called() -> list[Any]:
    """The functions that a rewritten expression calls. No expression can name them."""
    every = T.List(T.DYN)
    plain = (T.INT, T.UINT, T.STRING, T.BYTES, T.TIMESTAMP, T.DURATION, every)
    finite = [_overload("@finite", kind, [kind], _as_it_is) for kind in plain]
    return [
        cel.FunctionDecl("@enter", [_overload("@enter", T.INT, [], _enter)]),
        cel.FunctionDecl("@value", [_overload("@value", T.DYN, [T.INT], _value)]),
        cel.FunctionDecl("@time_value", [_overload("@time_value", T.TIMESTAMP, [T.INT], _time_value)]),
        cel.FunctionDecl("@call", [_overload("@call", T.DYN, [T.INT, every], _call)]),
        cel.FunctionDecl("@time_call", [_overload("@time_call", T.TIMESTAMP, [T.INT, every], _time_call)]),
        cel.FunctionDecl("@loop", [_overload("@loop", T.BOOL, [T.INT], _loop)]),
        cel.FunctionDecl("@finite", [*finite, _overload("@finite", T.DOUBLE, [T.DOUBLE], _finite)]),
    ]


_EXTENSIONS = [
    ext_strings.ExtStrings(),
    ext_math.ExtMath(),
    ext_bindings.ExtBindings(),
    ext_optional.ExtOptional(1),  # the next version has a `last` of its own
]
_FUNCTIONS = [*_declared(), *_called()]


def _environment(variables: Mapping[str, Any]) -> Any:
    return cel.NewEnv(variables=dict(variables), extensions=_EXTENSIONS, functions=_FUNCTIONS)


# What runs: every program in one environment, so that one activation serves all conditions of a decision.
RUNTIME = _environment({**BASE, PART: OPEN})
NOTHING = RUNTIME.Activation({})
ERROR = T.ERROR

# The types that a name can be declared with, beside lists of them.
KINDS: Mapping[str, Any] = {
    "STRING": T.STRING,
    "INT": T.INT,
    "DOUBLE": T.DOUBLE,
    "BOOL": T.BOOL,
    "TIMESTAMP": T.TIMESTAMP,
    "DURATION": T.DURATION,
    "DYN": T.DYN,
    "MAP": OPEN,
}


def environment_of(declared: Mapping[str, str]) -> Any:
    """An environment in which these names have these types, for the checker."""
    return _environment({**BASE, **{name: _cel_type(word) for name, word in declared.items()}})


def _cel_type(word: str) -> Any:
    if word.startswith("LIST "):
        return T.List(_cel_type(word[5:]))
    return KINDS[word]
