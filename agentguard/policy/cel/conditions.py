"""Conditions and amounts: CEL, compiled and checked at load; at run time only ``true`` itself is true.

The rules:

1. An expression is compiled once and checked twice: against the types that the workflow declares (an unknown name or a
   type that does not fit is an error with a line), and on its tree (see ``inspect``).
2. At run time an error, a missing name or a value of another type is a ``Fault``. CEL returns an error as a *value*
   whose ``.value()`` is a non-empty string, so truthy: only the booleans themselves are answers.
3. What a function of ours refuses makes the whole a ``Fault``, wherever in the expression it stands (see ``runtime``).
4. Only values that the runtime takes as they are reach it (see ``prepared``).
5. What the loops of an expression cost is added up first, and past ``MAX_STEPS`` the condition faults instead of
   holding every thread up (see ``cost``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar

from agentguard.core.policy import MICROS, Fault, View
from agentguard.policy.cel import why
from agentguard.policy.cel.checker import Checked, checked, expect, mentioned
from agentguard.policy.cel.cost import PASSES_AT_A_TIME, bill
from agentguard.policy.cel.inspect import Inspection, inspect
from agentguard.policy.cel.lets import growth_trouble, inlined, unnumbered
from agentguard.policy.cel.prepared import Prepared, is_encodable
from agentguard.policy.cel.rewrite import rewritten
from agentguard.policy.cel.runtime import ERROR, KINDS, NOTHING, RUNTIME, Frame, environment_of, evaluated
from agentguard.policy.cel.scope import Known, Let, Scope
from agentguard.policy.cel.tree import Node, read_tree
from agentguard.policy.cel.words import explain, type_word
from agentguard.policy.words import shown

R = TypeVar("R")

MAX_LENGTH = 4096
MAX_MICROS = 2**62
# Values of the names that a condition reads, past which taking lists apart costs more than going around them.
MUCH = 500
# Each is compiled to find the one that a loop was false of: about 2 ms for all.
_MOST_LOOKED_AT = 50

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


class _Program:
    """A compiled expression and what it reads."""

    __slots__ = (
        "_compares",
        "_for_much",
        "_members",
        "_order",
        "_roots",
        "_runs",
        "_scope",
        "_steps",
        "found",
        "text",
    )

    def __init__(self, text: str, tree: Node, types: Mapping[int, str], found: Inspection, scope: Scope) -> None:
        self.text = text
        self._scope = scope
        self.found = found
        self._runs = rewritten(tree, types)
        self._for_much = rewritten(tree, types, for_much=True)
        self._roots = frozenset(found.roots)
        self._order = tuple(sorted(found.roots))
        self._compares = not (_OF_THE_CALL.isdisjoint(self._roots) or _OF_THE_RUN.isdisjoint(self._roots))
        self._steps = scope.steps
        texts = (text, *(let.text for let in scope.lets.values()))
        self._members = frozenset(word for written in texts for word in _WORD.findall(written))

    @property
    def is_quick(self) -> bool:
        """Whether it is evaluated in one go: nothing in it is counted or carried over."""
        return not self._runs.has_frame and not self.found.costs

    def _value(self, view: View) -> Any:
        """The value, or a Fault. Never raises."""
        try:
            prepared = self._prepared(view)
            if type(prepared) is Fault:
                return prepared
            runs, at_a_time = self._runs, 1
            if sum(prepared.sizes[root] for root in self._order) > MUCH:
                runs, at_a_time = self._for_much, PASSES_AT_A_TIME
            if self.found.costs:
                cost = bill(self.found.costs, prepared.names)
                if cost.trouble is not None:
                    return Fault(cost.trouble)
                if cost.at_a_time is not None:
                    runs, at_a_time = self._for_much, cost.at_a_time
            said = None
            if not runs.has_frame:
                answer = runs.program.eval(prepared.activation)
            else:
                frame = Frame(runs.plan, prepared.names, at_a_time)
                answer = evaluated(runs.program, prepared.activation, frame)
                if frame.fault is not None or frame.entered:
                    return Fault(frame.fault or self._not_given(answer))
                said = frame.said
            value = answer.value()
            # An error's value is text; no other text is a boolean or a number either.
            return Fault(said or self._why(value)) if type(value) is str and answer.type() == ERROR else value
        except Exception as error:
            return Fault(f"could not be evaluated ({type(error).__name__})")

    def _prepared(self, view: View) -> Any:
        """The values that it reads, in the runtime's form, or a Fault."""
        if self._compares and view.compared is not None:
            view = view.compared
        prepared = view.prepared
        if type(prepared) is not Prepared or prepared.steps is not self._steps:
            prepared = view.prepared = Prepared(self._steps)
        if not prepared.has(self._roots):
            fault = prepared.add(self._order, view.names)
            if fault is not None:
                return fault
        return prepared

    def cost(self, view: View) -> int | None:
        """The steps that its loops take for these values, of at most ``MAX_STEPS``; None where that is not known."""
        prepared = self._prepared(view)
        return bill(self.found.costs, prepared.names).steps if type(prepared) is Prepared else None

    def _not_given(self, answer: Any) -> str:
        """Why a function of ours was entered and never run: what it was to be given is itself an error."""
        value = answer.value()
        if type(value) is str and answer.type() == ERROR:
            return self._why(value)
        return "a function was given what is missing or wrong"

    def _why(self, error: object) -> str:
        """The runtime's error without the values it quotes."""
        text = str(error)
        missing = _MISSING_KEY.match(text)
        if missing is not None:
            return f"{shown(missing[1]) if missing[1] in self._members else 'a member'} is missing"
        if _TWO_KINDS.search(text) is not None:
            return "a whole number and a number with decimals do not go together; write `double(...)` around each"
        return next((said for sign, said in _ERRORS if sign in text), "an error of the expression's own")


_TWO_KINDS = re.compile(r"No matching overload.*\((?:double, int64|int64, double)\)")
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

    def __init__(
        self, text: str, tree: Node, types: Mapping[int, str], found: Inspection, scope: Scope, place: str = ""
    ) -> None:
        super().__init__(text, tree, types, found, scope)
        self.place = place
        self._parts: tuple[_Program, ...] | None = None

    def at(self, scope: Scope, place: str) -> CompiledCondition:
        """The same condition in another step, whose scope is equal."""
        other = object.__new__(CompiledCondition)
        for name in _Program.__slots__:
            setattr(other, name, getattr(self, name))
        other._scope, other._steps, other.place, other._parts = scope, scope.steps, place, None
        return other

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
        return _Program(text, *_read(text, self._scope), self._scope)

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
    return _condition(text, scope).at(scope, place)


# In a bundle of many workflows, most conditions stand in many of them; compiling one takes a millisecond.
@lru_cache(maxsize=4096)
def _condition(text: str, scope: Scope) -> CompiledCondition:
    tree, types, found = _compile(text, scope, ("BOOL",), "true or false")
    try:
        return CompiledCondition(text, tree, types, found, scope)
    except ValueError as error:
        raise NotCompiled([f"{shown(text)}: {error}"]) from None


def compile_amount(text: str, scope: Scope) -> CompiledAmount:
    """An expression for a number in this scope. Raises NotCompiled."""
    tree, types, found = _compile(text, scope, ("INT", "UINT", "DOUBLE", "DYN"), "a number")
    try:
        return CompiledAmount(text, tree, types, found, scope)
    except ValueError as error:
        raise NotCompiled([f"{shown(text)}: {error}"]) from None


def compile_let(text: str, scope: Scope) -> Let:
    """An expression that others name. Raises NotCompiled."""
    tree, _, _ = _compile(text, scope, None, "a value")
    return Let(text, unnumbered(tree), _kind(_checked(text, tree, scope, {}).gives))


def _compile(
    text: str, scope: Scope, types: tuple[str, ...] | None, what: str
) -> tuple[Node, Mapping[int, str], Inspection]:
    if len(text) > MAX_LENGTH:
        raise NotCompiled([f"longer than {MAX_LENGTH} characters"])
    if "\x00" in text or not is_encodable(text):
        raise NotCompiled(["holds characters that no condition can hold"])
    try:
        tree, _, found = _read(text, scope)
    except (ValueError, RecursionError) as error:
        raise (error if isinstance(error, NotCompiled) else NotCompiled([f"{shown(text)}: {error}"])) from None
    if found.troubles:
        raise NotCompiled([f"{shown(text)}: {trouble}" for trouble in found.troubles])
    known = _checked(text, tree, scope, dict(_declared(scope, found)))
    if types is not None and known.gives not in types:
        said = f"gives {type_word(known.gives)}, expected {what}{_remedy(known.gives, what)}"
        raise NotCompiled([f"{shown(text)}: {said}"])
    return tree, known.types, found


def _read(text: str, scope: Scope) -> tuple[Node, Mapping[int, str], Inspection]:
    """The tree of an expression, nothing of its types, and what it uses. Raises NotCompiled, or another ValueError."""
    tree = _said(text, scope, lambda: _tree(text, _named(scope)))
    if scope.lets:
        tree = inlined(tree, scope.lets)
    said = growth_trouble(tree)
    if said is not None:
        raise ValueError(said)
    return tree, {}, inspect(tree, scope, _literals)


def _named(scope: Scope) -> tuple[tuple[str, str], ...]:
    return tuple((name, let.kind) for name, let in scope.lets.items())


def _kind(name: str) -> str:
    """A type as the checker names it, as one of those that a name may be declared with."""
    if name.startswith("LIST"):
        return "LIST DYN"
    return name if name in KINDS else "MAP" if name.startswith("MAP") else "DYN"


def _literals(node: Node) -> tuple[str | None, Any]:
    """A part that is made of literals, evaluated as it would be at every call: why it errs (or None), and its value."""
    runs = rewritten(node, {})
    frame = Frame(runs.plan, {}, 1)
    answer = evaluated(runs.program, NOTHING, frame)
    value = answer.value()
    if frame.fault is not None:
        return frame.fault, None
    return (str(value), None) if answer.type() == ERROR else (None, value)


# Of texts that stand in many scopes, all but what the scope says of them is read once.
@lru_cache(maxsize=4096)
def _tree(text: str, named: tuple[tuple[str, str], ...]) -> Node:
    """The tree of an expression in which these names are known, and nothing of any type beside them."""
    environment = _naming(named) if named else RUNTIME
    return read_tree(environment.compile(text).serialize())


@lru_cache(maxsize=256)
def _naming(named: tuple[tuple[str, str], ...]) -> Any:
    return environment_of(dict(named))


def _checked(text: str, tree: Node, scope: Scope, declared: Mapping[str, str]) -> Checked:
    """An expression checked, with these types of members, and those of its names. Raises NotCompiled."""
    kinds: dict[str, str | None] = {name: declared.get(name) for name in mentioned(tree)}
    kinds.update(_named(scope))
    return _said(text, scope, lambda: checked(text, tuple(sorted(kinds.items()))))


def _said(text: str, scope: Scope, work: Callable[[], R]) -> R:
    """What the runtime makes of an expression. Raises NotCompiled, in words for owners."""
    try:
        return work()
    except RuntimeError as error:
        raise NotCompiled([f"{shown(text)}: {message}" for message in explain(str(error), text, scope)]) from None


def _remedy(result: str, what: str) -> str:
    return "; compare it, such as `... == true`" if result == "DYN" and what == "true or false" else ""


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


def expect_names(root: str, schemas: Mapping[str, Any]) -> None:
    """Say that conditions over members of these schemas are to come, so that one environment is made for all."""
    expect(
        (f"{root}.{name}", _type_of(schema))
        for name, schema in schemas.items()
        if _WORD.fullmatch(name) is not None and _is_plain(schema) and schema.get("optional") is not True
    )


def _is_plain(schema: Any) -> bool:
    """Whether a schema that nobody has looked at yet says what type it is of."""
    return type(schema) is dict and (schema.get("type") != "array" or _is_plain(schema.get("items", {})))


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
