"""1. Arguments become bytes, destinations are derived, and what the tool gets is made ready."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from agentguard.core.canonical import NotCanonical, bytes_in_order, read_canonical
from agentguard.core.credentials import holds_none, may_hold, without_credentials
from agentguard.core.facts import RunState
from agentguard.core.fill import Filling, without_nulls
from agentguard.core.reaches import reached
from agentguard.core.reasons import Reason
from agentguard.core.request import Request
from agentguard.core.values import Destination, Json, Unavailable
from agentguard.destinations import compared, derive, other_spellings, rewrite
from agentguard.errors import LedgerError
from agentguard.guard.arguments.given import Given
from agentguard.guard.arguments.misfits import what_is_wrong
from agentguard.guard.call.plan import GuardedTool, ToolPlan, plan_of
from agentguard.guard.engine import Engine
from agentguard.guard.records import LeftOut, leave_out
from agentguard.guard.run import RunContext
from agentguard.jose.nonce import nonce

_UNSPELT: Mapping[str, str] = MappingProxyType({})


class ReadArguments(NamedTuple):
    """The arguments of one call: the caller's object, read once into bytes of our own.

    ``data`` has the members in the order in which they were given, ``canonical`` in the canonical one; one object where
    that is the same. ``made`` is what the tool gets for which bytes, so that a call which is decided again and again is
    made ready once.
    """

    given: Given
    data: bytes
    canonical: bytes
    made: dict[bytes, Any]

    @classmethod
    def read(cls, given: Given) -> ReadArguments | Unavailable:
        """Never raises for bad arguments."""
        try:
            data, canonical = bytes_in_order(dict(given.values))
        except NotCanonical as error:
            return Unavailable(Reason.ARGUMENTS_INVALID, str(error))
        except Exception as error:  # whatever a hostile mapping raises
            return Unavailable(Reason.ARGUMENTS_INVALID, f"could not be read: {type(error).__name__}")
        return cls(given, data, canonical, {})

    def ready(self, data: bytes) -> Any:
        """What the tool gets for these bytes. Raises what the tool's types raise."""
        if data not in self.made:
            self.made.clear()
            self.made[data] = self.given.ready(read_canonical(data))
        return self.made[data]


class Call(NamedTuple):
    """One call before any fact: its request, where it goes, what its tool gets, and what is wrong with it already.
    ``plan`` is that of its tool, by the bundle under which all of this was found out.

    ``told``: the arguments as records may hold them. ``impossible``: this call cannot be made, though the same
    arguments could be, in another way (awaited, not called). ``error`` is what the caller is told instead of a refusal.
    ``filled``: the arguments that the guard has put there.
    """

    plan: ToolPlan
    request: Request
    destinations: tuple[Destination, ...] | Unavailable
    as_called: Mapping[str, Json] | None
    spellings: Mapping[str, str]
    told: LeftOut
    coerced: tuple[str, ...]
    problem: Unavailable | None
    unread: Unavailable | None
    ready: Any = None
    impossible: Unavailable | None = None
    error: Exception | None = None
    filled: tuple[str, ...] = ()


def left_out(arguments: object) -> Unavailable:
    """In place of arguments that no record can hold: a model can write such, and is denied on record like any other.

    Raises LedgerError where it was not they that could not be stored.
    """
    if isinstance(arguments, Unavailable):
        raise LedgerError("this call cannot be put on record, even without its arguments; nothing ran")
    return Unavailable(Reason.ARGUMENTS_TOO_LARGE, "the record of this call would be larger than a record may be")


def prepare(
    guard: Engine,
    gate: GuardedTool,
    arguments: ReadArguments | Unavailable,
    call_id: str | None,
    context: RunContext | None,
    run: RunState | Unavailable,
    filling: Filling | None = None,
    filled: tuple[str, ...] = (),
) -> Call:
    """Bytes first; everything later is read from them. Never raises for bad arguments.

    ``filling``: how the steps that this is judged under fill it, and what it reaches under them; ``filled``: the
    arguments that the guard has put there. What is null and means absent is judged as absent.
    """
    plan = plan_of(guard, gate, "" if context is None else context.workflow)
    unread = arguments if isinstance(arguments, Unavailable) else None
    data = canonical = b"{}"
    if not isinstance(arguments, Unavailable):
        data, canonical = arguments.data, arguments.canonical
    values: dict[str, Json] = read_canonical(data)
    judged: Mapping[str, Json]
    as_called: Mapping[str, Json] | None = None
    spellings: Mapping[str, str] = _UNSPELT
    destinations: tuple[Destination, ...] | Unavailable = ()
    if not plan.places and filling is None:
        judged = values if data is canonical else read_canonical(canonical)
    else:
        try:
            found = _led(guard, gate, plan, values, data, canonical, run, filling)
            destinations, judged, as_called, spellings, values, data, canonical = found
        except NotCanonical as error:
            unread, values, judged = Unavailable(Reason.ARGUMENTS_INVALID, str(error)), {}, {}
            data = canonical = b"{}"
    destinations = destinations if unread is None else unread
    if plan.shows_all and (not may_hold(canonical) or holds_none(values)):
        told = LeftOut(values, [], {}, without_credentials, without_credentials)
    else:
        told = leave_out(values, plan.hidden, plan.personal, _personal_values(plan, run))
    request = Request.make(
        run_id="" if context is None else context.id,
        workflow="" if context is None else context.workflow,
        tool=gate.tool,
        canonical=canonical,
        arguments=judged,
        in_order=data,
        definition=gate.definition,
        salt=run.salt if isinstance(run, RunState) else nonce(),
        call_id=call_id,
        steps=None if filling is None else filling.steps,
    )
    if isinstance(arguments, Unavailable) or unread is not None:
        return Call(plan, request, destinations, as_called, spellings, told, (), plan.problem, unread)
    given, problem = arguments.given, plan.problem
    if problem is None and plan.strict and given.retyped:
        detail = f"`strict: true` in Tools: of another type than the tool takes: {', '.join(given.retyped)}"
        problem = Unavailable(Reason.ARGUMENTS_INVALID, detail)
    ready: Any = None
    impossible: Unavailable | None = None
    raised: Exception | None = None
    try:
        ready = arguments.ready(data)
    except NotImplementedError as error:
        impossible, raised = Unavailable(Reason.ARGUMENTS_INVALID, "the tool cannot be called in this way"), error
    except Exception as error:
        detail = f"cannot be handed on as given: {what_is_wrong(error)}"
        problem, raised = problem or Unavailable(Reason.ARGUMENTS_INVALID, detail), error
    return Call(
        plan, request, destinations, as_called, spellings, told, given.coerced, problem, None, ready,
        impossible, raised, filled,
    )  # fmt: skip


def _led(
    guard: Engine,
    gate: GuardedTool,
    plan: ToolPlan,
    values: dict[str, Json],
    data: bytes,
    canonical: bytes,
    run: RunState | Unavailable,
    filling: Filling | None,
) -> tuple[
    tuple[Destination, ...] | Unavailable,
    Mapping[str, Json],
    Mapping[str, Json] | None,
    Mapping[str, str],
    dict[str, Json],
    bytes,
    bytes,
]:
    """Where the call leads: its destinations; then what is judged, what was given where that is another, and the
    spellings of its destinations; then what the tool gets, and its bytes. Raises NotCanonical."""
    nulls = frozenset[str]() if filling is None else filling.nulls
    declared = plan.places
    judged: Mapping[str, Json] = values
    as_called: Mapping[str, Json] | None = None
    spellings: Mapping[str, str] = _UNSPELT
    destinations: tuple[Destination, ...] | Unavailable = ()
    if declared:
        destinations = derive(declared, without_nulls(values, nulls), guard.catalog, plan.unsaid)
    if filling is not None and filling.reaches and not isinstance(destinations, Unavailable):
        also = _told(guard, gate.tool, filling, without_nulls(values, nulls), run)
        destinations = also if isinstance(also, Unavailable) else _each_once(destinations, also)
    if not isinstance(destinations, Unavailable):
        plain = values if data is canonical else read_canonical(canonical)
        judged = without_nulls(plain, nulls)
        if declared:
            rewrites_argument = rewrite(declared, values)
            if any(part is not values[name] for name, part in rewrites_argument.items()):
                values = rewrites_argument
                data, canonical = bytes_in_order(values)
            judged = compared(declared, judged)
            if isinstance(run, RunState):
                spellings = other_spellings(declared, plain, run.inputs, run.kept)
        as_called = plain if judged != plain else None
    return destinations, judged, as_called, spellings, values, data, canonical


def _personal_values(plan: ToolPlan, run: RunState | Unavailable) -> frozenset[Json]:
    """The texts and numbers that this run has kept of personal fields of results: they stay personal as arguments."""
    names = plan.personal_kept
    if not names or not isinstance(run, RunState):
        return frozenset()
    found: set[Json] = set()
    pending = [run.kept[name] for name in names if name in run.kept]
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            pending += [*value.keys(), *value.values()] if isinstance(value, dict) else value
        elif value is not None and not isinstance(value, bool):
            found.add(value)
    return frozenset(found)


def _told(
    guard: Engine, tool: str, filling: Filling, arguments: Mapping[str, Json], run: RunState | Unavailable
) -> tuple[Destination, ...] | Unavailable:
    """Whom the tool tells without naming them in its arguments, as the steps that this is judged under say."""
    if isinstance(run, Unavailable):
        return Unavailable(Reason.DESTINATION_MISSING, "`reaches`: nothing is known of the run")
    found: tuple[Destination, ...] = ()
    personal = guard.personal_kept(run.workflow)
    hidden_arguments = bool(guard.secret_paths(tool) or guard.personal_paths(tool))
    for reach in filling.reaches:
        root, name = reach.value.root, next(iter(reach.value.steps), None)
        hidden = (root == "kept" and name in personal) or (root == "args" and hidden_arguments)
        places = reached(reach, run.inputs, run.kept, arguments)
        if isinstance(places, Unavailable):
            return places
        if places:
            derived = derive([reach.declaration], {"value": places}, guard.catalog, (("value",),) if hidden else ())
            if isinstance(derived, Unavailable):
                return derived
            found = _each_once(found, derived)
    return found


def _each_once(*places: tuple[Destination, ...]) -> tuple[Destination, ...]:
    """All of these, each once. One that anything chose was chosen."""
    found: dict[tuple[str, str], Destination] = {}
    for place in (place for group in places for place in group):
        known = found.get((place.kind, place.id))
        if known is None or (place.chosen and not known.chosen):
            found[place.kind, place.id] = place
    return tuple(found.values())


def zones_of(destinations: tuple[Destination, ...] | Unavailable) -> frozenset[str]:
    """The zones of these places."""
    places = () if isinstance(destinations, Unavailable) else destinations
    return frozenset(place.zone for place in places if place.zone is not None)
