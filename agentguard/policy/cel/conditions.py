"""Conditions and amounts: CEL, compiled and checked at load; at run time only ``true`` itself is true.

The rules:

1. An expression is compiled once and checked twice: against the types that the workflow declares (an unknown name or a
   type that does not fit is an error with a line), and on its tree (see ``usage``).
2. At run time an error, a missing name or a value of another type is a ``Fault``. CEL returns an error as a *value*
   whose ``.value()`` is a non-empty string, so truthy: only the booleans themselves are answers.
3. The runtime cuts text at a NUL, so that ``"a\\0b" == "a"`` holds there, and raises on lone surrogates. Values that
   hold either, or that are not JSON, never reach it: the condition faults.
4. Inside a loop the runtime converts what it reads again on every pass. What a loop would read is measured first, and
   past ``MAX_WORK`` the condition faults instead of holding every thread up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from agentguard.core.policy import MICROS, Fault, View
from agentguard.policy.cel import why
from agentguard.policy.cel.inspect import Inspection, ViewPath, inspect
from agentguard.policy.cel.scope import Known, Scope
from agentguard.policy.cel.tree import only, read_tree
from agentguard.policy.cel.words import explain, type_word
from agentguard.policy.words import shown

MAX_LENGTH = 4096
# Passes of the loop times values read in each: about 50 ms of the runtime's time.
MAX_WORK = 2_000_000
# Where a loop runs over something that is computed, this is how often (the runtime stops there by itself).
_UNKNOWN_PASSES = 10_000
_CHARACTERS_PER_VALUE = 4
_MAX_INTEGER = 2**63 - 1
MAX_MICROS = 2**62
# Each is compiled to find the one that a loop was false of: about 2 ms for all.
_MOST_LOOKED_AT = 50

_T = cel.Type
_ERROR_TYPE = _T.ERROR
_OPEN = _T.Map(_T.STRING, _T.DYN)
_PLACE = _T.Map(_T.STRING, _T.STRING)
_BASE: Mapping[str, Any] = {
    "args": _OPEN,
    "inputs": _OPEN,
    "kept": _OPEN,
    "counts": _T.Map(_T.STRING, _T.INT),
    "origins": _T.Map(_T.STRING, _T.List(_T.STRING)),
    "subject": _T.STRING,
    "claims": _OPEN,
    "destination": _PLACE,
    "destinations": _T.List(_PLACE),
    "risk": _T.STRING,
    "assurance": _T.STRING,
    "now": _T.TIMESTAMP,
}
# What runs: every program in one environment, so that one activation serves all conditions of a decision.
_RUNTIME = cel.NewEnv(variables=dict(_BASE))
_NOTHING = _RUNTIME.Activation({})

# A condition that reads both compares what the agent wrote with what the run was given: places in one spelling.
_OF_THE_CALL = frozenset({"args", "destination", "destinations"})
_OF_THE_RUN = frozenset({"inputs", "kept"})

_SCALARS: Mapping[str, str] = {"string": "STRING", "integer": "INT", "boolean": "BOOL"}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MISSING_KEY = re.compile(r'NOT_FOUND: Key not found in map : "([^"]*)"')


class NotCompiled(ValueError):
    """The expression cannot be used; ``messages`` say everything that is wrong with it."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


class _Prepared:
    """Those names of one view that its conditions have read so far, in the runtime's form. All of them are clean."""

    __slots__ = ("activation", "names", "steps")

    def __init__(self, steps: tuple[str, ...]) -> None:
        self.steps = steps
        self.names: dict[str, Any] = {}
        self.activation: Any = None

    def add(self, roots: Iterable[str], view: Mapping[str, Any]) -> Fault | None:
        """Take in what is not there yet, or say why that cannot be used."""
        self.activation = None  # made again from all the names, also after a name that could not be used
        for root in roots:
            if root in self.names:
                continue
            if root not in view:
                return Fault(f"{root} is not known")
            unusable = _why_unusable(root, view[root])
            if unusable is not None:
                return Fault(unusable)
            self.names[root] = _plain(root, view[root], self.steps)
        self.activation = _RUNTIME.Activation(self.names)
        return None


class _Program:
    """A compiled expression and what it reads."""

    __slots__ = ("_compares", "_costs", "_members", "_order", "_program", "_roots", "_scope", "_steps", "found", "text")

    def __init__(self, text: str, program: Any, found: Inspection, scope: Scope) -> None:
        self.text = text
        self._scope = scope
        self.found = found
        self._program = program
        self._roots = frozenset(found.roots)
        self._order = tuple(sorted(found.roots))
        self._compares = not (_OF_THE_CALL.isdisjoint(self._roots) or _OF_THE_RUN.isdisjoint(self._roots))
        self._costs = tuple(found.costs)
        self._steps = scope.steps
        self._members = frozenset(word for word in _WORD.findall(text))

    def _value(self, view: View) -> Any:
        """The value, or a Fault. Never raises."""
        try:
            if self._compares and view.compared is not None:
                view = view.compared
            prepared = view.prepared
            if type(prepared) is not _Prepared or prepared.steps is not self._steps:
                prepared = view.prepared = _Prepared(self._steps)
            if prepared.activation is None or not self._roots <= prepared.names.keys():
                fault = prepared.add(self._order, view.names)
                if fault is not None:
                    return fault
            if self._costs and _work(self._costs, prepared.names) > MAX_WORK:
                return Fault("a loop would read too much; its lists are too long")
            answer = self._program.eval(prepared.activation)
            value = answer.value()
            # An error's value is text; no other text is a boolean or a number either.
            return Fault(self._why(value)) if type(value) is str and answer.type() == _ERROR_TYPE else value
        except Exception as error:
            return Fault(f"could not be evaluated ({type(error).__name__})")

    def _why(self, error: object) -> str:
        """The runtime's error without the values it quotes."""
        text = str(error)
        missing = _MISSING_KEY.match(text)
        if missing is not None:
            return f"{shown(missing[1]) if missing[1] in self._members else 'a member'} is missing"
        return next((said for sign, said in _ERRORS if sign in text), "an error of the expression's own")


_ERRORS = (
    ("No matching overload", "values of types that do not go together"),
    ("divide by zero", "a division by zero"),
    ("modulus by zero", "a division by zero"),
    ("overflow", "a number too large"),
    ("out of range", "a number too large"),
    ("No value with name", "a name is not known"),
    ("index out of bounds", "a list is too short"),
    ("budget", "a loop is too long"),
)


class CompiledCondition(_Program):
    """A yes-or-no expression. ``place``: where it stands, for reviewers."""

    __slots__ = ("_parts", "place")

    def __init__(self, text: str, program: Any, found: Inspection, scope: Scope, place: str = "") -> None:
        super().__init__(text, program, found, scope)
        self.place = place
        self._parts: tuple[_Program, ...] | None = None

    def holds(self, view: View) -> bool | Fault:
        """True or False, and nothing else; any error is a Fault. Never raises."""
        value = self._value(view)
        if value is True or value is False or type(value) is Fault:
            return value
        return Fault(f"gave {type(value).__name__}, not true or false")

    def explain(self, view: View, quotable: Mapping[str, Any]) -> str:
        """The part that decided, what it read of what may be quoted, and where it stands. Never raises."""
        try:
            return self._explained(view, quotable)
        except Exception as error:  # an explanation is worth no refused record
            return f"{why.source(self.text)} could not be explained ({type(error).__name__}){self._at()}"

    def _explained(self, view: View, quotable: Mapping[str, Any]) -> str:
        if self._parts is None:
            self._parts = tuple(self._part(text) for text in why.conjuncts(self.text))
        answers = [(part, part._value(view)) for part in self._parts]
        # As everywhere in CEL, one false part makes the whole false, whatever errs beside it.
        part, value = next((found for found in answers if found[1] is False), (self, True))
        if value is True:
            part, value = next((found for found in answers if found[1] is not True), (self, True))
        text, extra = part.text, ""
        if value is False:
            gave, extra = "is false", self._element(part, view, quotable)
        elif value is True:
            gave = "is true"
        else:
            gave = f"cannot be worked out: {value.detail if type(value) is Fault else 'neither true nor false'}"
        read = "" if "is missing" in gave else why.values(part.found.reads, text, quotable)
        return f"{why.source(text)} {gave}{extra}{': ' if read else ''}{read}{self._at()}"

    def _at(self) -> str:
        return f" ({self.place})" if self.place else ""

    def _part(self, text: str) -> _Program:
        program = _RUNTIME.compile(text)
        serialised = program.serialize()
        found = inspect(read_tree(serialised), self._scope, lambda raw: _literals(serialised, raw))
        return _Program(text, program, found, self._scope)

    def _element(self, part: _Program, view: View, quotable: Mapping[str, Any]) -> str:
        """Of `list.all(...)`, which element is the first that it is false of."""
        loop = why.each(part.text)
        for index in range(_MOST_LOOKED_AT) if loop is not None else ():
            one = self._part(f"[({loop[0]})[{index}]].all({loop[1]}, {loop[2]})") if loop is not None else part
            value = one._value(view)
            if value is False:
                return f" of element {index}{why.element(loop[0], index, quotable)}" if loop is not None else ""
            if value is not True:
                break
        return ""


class CompiledAmount(_Program):
    """An expression for a number."""

    __slots__ = ()

    def of(self, view: View) -> int | Fault:
        """The amount in millionths, exact and not negative, or a Fault. Never raises."""
        value = self._value(view)
        return value if type(value) is Fault else to_micros(value)


def to_micros(value: Any) -> int | Fault:
    """A number in millionths: exact by its shortest decimal text, not negative, at most 2^62 millionths."""
    if type(value) is int:
        micros = value * MICROS
    elif type(value) is float:
        try:
            exact = Decimal(repr(value)) * MICROS
            micros = int(exact)
        except (InvalidOperation, OverflowError, ValueError):
            return Fault("the amount is not a finite number")
        if micros != exact:
            return Fault("the amount has more than six decimals")
    else:
        return Fault(f"the amount is {type(value).__name__}, not a number")
    if micros < 0:
        return Fault("the amount is negative")
    return micros if micros <= MAX_MICROS else Fault("the amount is too large")


def compile_condition(text: str, scope: Scope, place: str = "") -> CompiledCondition:
    """A yes-or-no expression in this scope. Raises NotCompiled."""
    found, program = _compile(text, scope, ("BOOL",), "true or false")
    return CompiledCondition(text, program, found, scope, place)


def compile_amount(text: str, scope: Scope) -> CompiledAmount:
    """An expression for a number in this scope. Raises NotCompiled."""
    found, program = _compile(text, scope, ("INT", "UINT", "DOUBLE", "DYN"), "a number")
    return CompiledAmount(text, program, found, scope)


def _compile(text: str, scope: Scope, types: tuple[str, ...], what: str) -> tuple[Inspection, Any]:
    if len(text) > MAX_LENGTH:
        raise NotCompiled([f"longer than {MAX_LENGTH} characters"])
    if "\x00" in text or not _is_encodable(text):
        raise NotCompiled(["holds characters that no condition can hold"])
    program = _compiled(_RUNTIME, text, scope)
    serialised = program.serialize()
    try:
        found = inspect(read_tree(serialised), scope, lambda raw: _literals(serialised, raw))
    except (ValueError, RecursionError) as error:
        raise NotCompiled([f"{shown(text)}: {error}"]) from None
    if found.troubles:
        raise NotCompiled([f"{shown(text)}: {trouble}" for trouble in found.troubles])
    checked = _compiled(_typed_environment(_declared(scope, found)), text, scope)
    result = checked.return_type().name()
    if result not in types:
        raise NotCompiled([f"{shown(text)}: gives {type_word(result)}, expected {what}{_remedy(result, what)}"])
    return found, program


def _literals(serialised: bytes, raw: bytes) -> tuple[str | None, Any]:
    """A part that is made of literals, evaluated as it would be at every call: why it errs (or None), and its value."""
    answer = _RUNTIME.deserialize(only(serialised, raw)).eval(_NOTHING)
    value = answer.value()
    return (str(value), None) if answer.type() == _ERROR_TYPE else (None, value)


def _compiled(environment: Any, text: str, scope: Scope) -> Any:
    try:
        return environment.compile(text)
    except RuntimeError as error:
        raise NotCompiled([f"{shown(text)}: {message}" for message in explain(str(error), text, scope)]) from None


def _remedy(result: str, what: str) -> str:
    return "; compare it, such as `... == true`" if result == "DYN" and what == "true or false" else ""


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8", "strict")
    except UnicodeEncodeError:
        return False
    return True


# Types. `args.rows` declared as a name of its own shadows the member of the open map `args`, with a precise type.


def _declared(scope: Scope, found: Inspection) -> tuple[tuple[str, str], ...]:
    # `has(args.x)` on a declared name gives its value instead of a boolean, so those stay members of the open map.
    return tuple(
        sorted(
            (f"{root}.{name}", _type_of(scope.names[root]["properties"][name]))
            for root in ("args", "inputs")
            for name in scope.names[root].get("required", ())
            if _WORD.fullmatch(name) is not None and (root, name) not in found.tested
        )
    )


def _type_of(known: Known) -> str:
    """The CEL type of a schema; DYN where JSON leaves it open (a `number` may arrive as either kind)."""
    word = known.get("type")
    if word is None and known.get("enum"):
        return "STRING" if all(type(value) is str for value in known["enum"]) else "DYN"
    if type(word) is not str:
        return "DYN"
    if word == "array":
        return f"LIST {_type_of(known.get('items', {}))}"
    return _SCALARS.get(word, "MAP" if word == "object" else "DYN")


@lru_cache(maxsize=4096)
def _typed_environment(declared: tuple[tuple[str, str], ...]) -> Any:
    variables = dict(_BASE)
    variables.update((name, _cel_type(word)) for name, word in declared)
    return cel.NewEnv(variables=variables)


def _cel_type(word: str) -> Any:
    if word.startswith("LIST "):
        return _T.List(_cel_type(word[5:]))
    return _OPEN if word == "MAP" else getattr(_T, word)


# Values.


def _plain(root: str, value: Any, steps: tuple[str, ...]) -> Any:
    """A value as the runtime takes it: real dicts; a step that was not called yet counts nought."""
    if root == "counts":
        return {**dict.fromkeys(steps, 0), **value}
    return dict(value) if type(value) is not dict and isinstance(value, Mapping) else value


def _why_unusable(root: str, value: Any) -> str | None:
    """Rule 3: why a value must not reach the runtime, or None. Walks without recursion."""
    if root == "now":
        return None if type(value) is datetime and value.utcoffset() == timedelta(0) else "now is not a time in UTC"
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is str:
            if not item.isascii() and not _is_encodable(item):
                return f"{root} holds a lone surrogate"
            if "\0" in item:
                return f"{root} holds a NUL character"
        elif kind is int:
            if not -_MAX_INTEGER <= item <= _MAX_INTEGER:
                return f"{root} holds an integer beyond 64 bits"
        elif kind is dict:
            try:
                pending.append("".join(item))  # what holds for all its keys together holds for each
            except TypeError:
                return f"{root} holds a key that is not text"
            pending += item.values()
        elif kind is list:
            pending += item
        elif kind is float:
            if item - item != 0.0:
                return f"{root} holds a number that is not finite"
        elif item is not None and kind is not bool:
            return f"{root} holds {kind.__name__}, which is not JSON"
    return None


def _work(costs: tuple[tuple[ViewPath, tuple[ViewPath | None, ...]], ...], names: Mapping[str, Any]) -> int:
    """Rule 4: about how many values the loops would convert."""
    total = 0
    for path, loops in costs:
        passes = 1
        for source in loops:
            over = _at(source, names) if source is not None else None
            passes *= len(over) if isinstance(over, list | dict) else _UNKNOWN_PASSES
        total += min(passes, _UNKNOWN_PASSES) * _weight(_at(path, names))
    return total


def _at(path: ViewPath, names: Mapping[str, Any]) -> Any:
    value: Any = names
    for part in path:
        if part == "*" or type(value) is not dict or part not in value:
            break
        value = value[part]
    return value


def _weight(value: Any) -> int:
    """How many values there are to convert, long text counting as several."""
    total = 0
    pending = [value]
    while pending and total <= MAX_WORK:
        item = pending.pop()
        total += 1 + (len(item) // _CHARACTERS_PER_VALUE if type(item) is str else 0)
        if type(item) is list:
            pending += item
        elif type(item) is dict:
            pending += item.values()
    return total
