"""Given = judged = run, in value and in type. The one place that says so, for every front door.

Rules:

1. What a caller gives is read once, by the tool's own types. What they make of it is what the tool would get unguarded.
2. That is written as JSON, and the JSON is judged. Nothing is left out of it: a type that could hide a value, or that
   can be read only once, is refused when the tool is wrapped.
3. The JSON is read again, before the call is admitted. It must give the same values, of the same types, in the same
   order. Else nothing runs: what was judged is not what was given. The tool gets this second reading.
4. Where the tool's types turned a value into another (``"7"`` into 7), the record names it. True and false are no
   numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import inspect
import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from numbers import Number
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, PydanticUndefined, TzInfo

from agentguard.core.canonical import MAX_DEPTH, NotCanonical, canonical_bytes
from agentguard.core.values import Json
from agentguard.errors import ConfigurationError
from agentguard.guard.plain import NotPlain, PlainFields
from agentguard.policy.json_schema.extent import Levels

# Each level of a value may be an object with members of its own; deeper values have no canonical form anyway.
_DEEPEST = 2 * MAX_DEPTH
# A record names this many changed values and no more: what is given may hold thousands.
MOST_NAMED = 20
_ABSENT: Any = object()


class Misfit(ValueError):
    """A value that cannot be taken for what was meant. The text names the argument and holds no value."""

    def __init__(self, argument: str, problem: str) -> None:
        self.argument = argument
        super().__init__(f"`{argument}` {problem}")


class Misnamed(TypeError):
    """Arguments that the function does not take, or lacks. ``wrong``: their names, each with what is wrong."""

    def __init__(self, text: str, wrong: Mapping[str, str]) -> None:
        self.wrong = wrong
        super().__init__(text)


class Unfaithful(ConfigurationError):
    """What the tool would get is not what was given and judged."""

    def __init__(self, tool: str, argument: str) -> None:
        self.argument = argument
        super().__init__(
            f"`{tool}` did not run: what it would get for `{argument}` is not what was judged. Annotate the parameter "
            "with the type that is given; where it has one, make its validators give back what they already gave, and "
            "its serializers write all that it holds"
        )


def _as_it_is(values: dict[str, Json]) -> Any:
    return values


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of one call. ``values`` are judged; ``ready`` makes of the judged values what the tool gets.

    ``ready`` is called before the call is admitted, and everything that can fail fails there. ``coerced``: where the
    tool's types made another value of what was given, as JSON pointers; ``retyped``: where of another type.
    """

    values: Mapping[str, Json]
    ready: Callable[[dict[str, Json]], Any] = _as_it_is
    coerced: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()


class Codec:
    """Reads arguments by one pydantic model, writes them as JSON, and reads them again."""

    def __init__(
        self,
        name: str,
        model: type[BaseModel],
        schema: Mapping[str, Any],
        *,
        by_alias: bool,
        aside: Collection[str] = (),
        hidden: Collection[str] = (),
    ) -> None:
        """``by_alias``: whether aliases stand in what is judged. ``aside``: fields that may hold objects nobody judges.

        ``hidden``: fields that are left out unless they were given. Raises ConfigurationError for a type whose values
        could not be judged or handed on.
        """
        self.name = name
        self.model = model
        self.levels = Levels(schema)
        self._by_alias = by_alias
        self._hidden = frozenset(hidden)
        _refuse_types(name, model, by_alias, frozenset(aside))
        free = self._hidden.isdisjoint(model.model_fields) and self.levels.most is None
        self._plain = PlainFields.of(model, by_alias=by_alias) if free else None

    def read(self, given: Mapping[str, Any], aside: Mapping[str, Any] | None = None) -> Reading:
        """What the caller gave, by the tool's types.

        Raises pydantic's ValidationError, NestedTooDeep, and ValueError for what no JSON can hold.
        """
        short = None if aside else self._short(given)
        if short is not None:
            return short
        self.levels.check(given)
        read = self.model.model_validate({**given, **aside} if aside else given)
        return Reading(self, given, read, aside or {})

    def read_json(self, given: Mapping[str, Any], *, by_name: bool | None = None) -> Reading:
        """As ``read``, for values that come as JSON. ``by_name``: a field's own name is taken as its alias is."""
        short = self._short(given)
        if short is not None:
            return short
        self.levels.check(given)
        read = self.model.model_validate_json(json.dumps(given), by_alias=by_name, by_name=by_name)
        return Reading(self, given, read, {})

    def _short(self, given: Mapping[str, Any]) -> Reading | None:
        """Plain values by plain types, where pydantic leaves each as it is. None: they go the long way."""
        if self._plain is None:
            return None
        try:
            copied = self._plain.copy(given)
            values = self._plain.whole(copied)
        except NotPlain:
            return None
        read = self.same_by_plain_types(values, copied)
        return None if read is None else Reading(self, copied, read, {}, values)

    def same_by_plain_types(self, values: Mapping[str, Json], given: Collection[str]) -> BaseModel | None:
        """What pydantic reads of those that were ``given``, if it is these very values. Else None."""
        if self._plain is None:
            return None
        try:
            read = self.model.model_validate({key: values[key] for key in given})
        except ValidationError:
            return None
        held = vars(read)
        for key, name in self._plain.names.items():
            if held[name] is not values[key] and not same(held[name], values[key]):
                return None
        return read

    def dump(self, model: BaseModel, aside: Mapping[str, Any]) -> dict[str, Json]:
        """A model's values as JSON. Raises ValueError for what has no JSON form."""
        for name, value in _members(model).items():
            if name not in aside:
                _readable_again(value, _shown_name(self.model, name), 0)
        left_out = {name for name in self._hidden if name not in model.model_fields_set} | aside.keys()
        try:
            values: dict[str, Json] = model.model_dump(
                mode="json", by_alias=self._by_alias, exclude=left_out or None, round_trip=True, warnings=False
            )
        except PydanticSerializationError:
            raise ValueError(f"the arguments of `{self.name}` cannot be written as JSON") from None
        self.levels.check(values)  # objects that code made: they will be read from JSON
        _settle(model, values, "(all)")
        return dict(sorted(values.items()))  # a tool gets them by name, so their own order says nothing

    def load(self, values: Mapping[str, Json], aside: Mapping[str, Any]) -> BaseModel:
        """Read from JSON. Raises ValidationError or NestedTooDeep."""
        self.levels.check(values)
        if aside:
            return self.model.model_validate({**values, **aside}, by_name=True, by_alias=self._by_alias)
        return self.model.model_validate_json(json.dumps(values), by_name=True, by_alias=self._by_alias)


class Reading:
    """One call's arguments as the tool's types read them, and as they are judged."""

    def __init__(
        self,
        codec: Codec,
        given: Mapping[str, Any],
        read: BaseModel,
        aside: Mapping[str, Any],
        plain: dict[str, Json] | None = None,
    ) -> None:
        """``plain``: all of the values as JSON, where they are known to be what was given."""
        self._codec = codec
        self._read = read
        self._aside = {name: value for name, value in aside.items() if name in codec.model.model_fields}
        self._plain = None if plain is None else given.keys()
        self.coerced: tuple[str, ...] = ()
        self.retyped: tuple[str, ...] = ()
        if plain is not None:
            self.values, self._made_by_code = plain, False
            return
        self.values = codec.dump(read, self._aside)
        changes = _Changes()
        changes.visit(dict(given), read, self.values, "", 0)
        self._made_by_code = changes.instances
        self.coerced, self.retyped = tuple(changes.coerced), tuple(changes.retyped)

    def again(self, judged: Mapping[str, Json]) -> BaseModel:
        """The values that were judged, as the tool gets them. Raises Unfaithful.

        ``judged`` may differ from ``values`` where a destination was brought to its canonical form.
        """
        as_read = same(dict(judged), self.values)
        if as_read and self._plain is not None:
            again = self._codec.same_by_plain_types(judged, self._plain)
            if again is not None:
                return again
        found = self._same_again()
        if as_read:
            return found
        for values in self._forms(judged):
            with contextlib.suppress(Exception):  # whatever a validator of the tool's raises
                changed = self._codec.load(values, self._aside)
                if same(self._codec.dump(changed, self._aside), dict(judged)):
                    return changed
        raise Unfaithful(self._codec.name, self._culprit(judged))

    def _same_again(self) -> BaseModel:
        failed: str | None = None
        for values in self._forms(self.values):
            try:
                again = self._codec.load(values, self._aside)
            except Exception as error:  # whatever a validator of the tool's raises
                failed = failed or _first_place(error)
                continue
            wrong = self._first_other(again)
            if wrong is None:
                return again
            failed = failed or wrong
        raise Unfaithful(self._codec.name, failed or "(all)")

    def _forms(self, judged: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
        """The judged values; then without the defaults that nobody gave, which may not fit their own annotation."""
        yield judged
        bare = _without_defaults(self._read, dict(judged), self.values)
        if bare != judged:
            yield bare

    def _first_other(self, again: BaseModel) -> str | None:
        """The first argument that is not what it was."""
        if type(again) is not type(self._read):
            return "(all)"
        before, after = _members(self._read), _members(again)
        for name in before.keys() | after.keys():
            if name not in self._aside and not _same(
                before.get(name, _ABSENT), after.get(name, _ABSENT), self._made_by_code
            ):
                return _shown_name(self._codec.model, name)
        return None

    def _culprit(self, judged: Mapping[str, Json]) -> str:
        changed = [name for name, value in judged.items() if not same(value, self.values.get(name, _ABSENT))]
        return changed[0] if changed else "(all)"


def members(model: BaseModel) -> dict[str, Any]:
    """What a model holds, by name, extra members too. By its own data: an extra may have the name of a method."""
    return _members(model)


def _members(model: BaseModel) -> dict[str, Any]:
    return {**vars(model), **(model.__pydantic_extra__ or {})}


def what_is_wrong(error: Exception) -> str:
    """The kind of an error, and which arguments it is about. No more of it: its text may hold the values."""
    kind = type(error).__name__
    if isinstance(error, Misfit | Unfaithful):
        return f"{kind} at `{error.argument}`" if _WORD.fullmatch(error.argument) else kind
    if isinstance(error, Misnamed):
        places = [(name, wrong) for name, wrong in error.wrong.items()]
    elif isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_context=False, include_input=False)
        places = [(str(detail["loc"][0]), detail["type"]) for detail in details if detail["loc"]]
    else:
        return kind
    named = [f"`{name}` ({wrong})" for name, wrong in places if _WORD.fullmatch(name) and _WORD.fullmatch(wrong)]
    return f"{kind} at {', '.join(list(dict.fromkeys(named))[:5])}" if named else kind


# A parameter's name, or pydantic's word for what is wrong with it. A model's own names of arguments may be anything.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _first_place(error: Exception) -> str | None:
    if not isinstance(error, ValidationError):
        return None
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        if detail["loc"]:
            return str(detail["loc"][0])
    return None


def bind(function: Callable[..., Any], values: dict[str, Any], by_position: Collection[str] = ()) -> dict[str, Any]:
    """The values, if the function takes each of them by its name, or by its position. Raises Misnamed."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return values  # a builtin that says nothing of its parameters
    args = [values[name] for name in by_position if name in values]
    kwargs = {name: value for name, value in values.items() if name not in by_position}
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        raise misnamed(signature, args, kwargs) from None
    return values


def misnamed(signature: inspect.Signature, args: Collection[Any], kwargs: Mapping[str, Any]) -> Misnamed:
    """Why these arguments cannot be bound, by the names of those that are wrong."""
    parameters = list(signature.parameters.values())
    kinds = inspect.Parameter
    by_position = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    by_name = {p.name for p in parameters if p.kind in (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)}
    given = set(by_position[: len(args)])
    wrong = {name: "given_twice" for name in kwargs if name in given & by_name}
    wrong |= {name: "unexpected" for name in kwargs if name not in by_name}
    wrong |= {
        p.name: "missing"
        for p in parameters
        if p.default is p.empty
        and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        and p.name not in given
        and p.name not in kwargs
    }
    words = {"given_twice": "is given twice", "unexpected": "is not taken", "missing": "is missing"}
    said = [f"`{name}` {words[problem]}" for name, problem in wrong.items()]
    if len(args) > len(by_position):
        said.append(f"{len(by_position)} arguments are taken by position, {len(args)} were given")
    return Misnamed("; ".join(said) or "the arguments cannot be bound", wrong)


# Types that are refused when a tool is wrapped


def _refuse_types(name: str, model: type[BaseModel], by_alias: bool, aside: frozenset[str]) -> None:
    """Raises ConfigurationError for a type whose values nobody could judge, or hand on as they were judged."""
    schema = model.__pydantic_core_schema__
    seen: set[int] = set()
    pending: list[tuple[Any, str]] = [(schema, "")]
    while pending:
        node, field = pending.pop()
        if isinstance(node, list | tuple):
            pending += [(part, field) for part in node if isinstance(part, dict | list | tuple)]
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        problem = _problem(node, field, by_alias)
        if problem is not None:
            shown = f"`{_shown_name(model, field)}` " if field else "a parameter "
            raise ConfigurationError(f"`{name}` cannot be guarded: {shown}{problem}")
        for key, part in node.items():
            if key == "fields" and isinstance(part, Mapping):
                pending += [(each, of) for of, each in part.items() if field or of not in aside]
            elif key not in _NO_TYPES and isinstance(part, Mapping | list | tuple):
                pending.append((part, field))


# Members of a core schema that hold no schemas.
_NO_TYPES = frozenset({"metadata", "config", "default", "expected", "ref"})


def _problem(node: Mapping[str, Any], field: str, by_alias: bool) -> str | None:
    kind = node.get("type")
    if kind == "generator":
        return "can be read only once, by the check or by the tool: use list[...], not Iterable, Iterator or Generator"
    if node.get("serialization_exclude"):
        return "is left out of what is judged (exclude=True), and the tool would get its default: take exclude out"
    function = node.get("function") if kind == "function-plain" else None
    if getattr(function, "__module__", "") == "pydantic.types" and "secret" in getattr(function, "__name__", ""):
        return (
            "is written as asterisks, which the tool would get: use str instead of SecretStr, SecretBytes or Secret, "
            "and list the argument under `secrets` in Tools"
        )
    written = node.get("serialization_alias")
    if by_alias and written is not None and written != field and written not in _keys(node.get("validation_alias")):
        return f"is written as `{written}` and not read under that name: give it one `alias` for both"
    return None


def _keys(alias: Any) -> set[Any]:
    """The names under which a field is read, as a core schema has them."""
    whole = alias if isinstance(alias, list) else [alias]
    paths = whole if whole and isinstance(whole[0], list) else [whole]
    return {path[0] for path in paths if len(path) == 1}


# The same value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in value and in type, at every depth and in the same order."""
    return _same(one, other, True)


def _same(one: Any, other: Any, private: bool) -> bool:
    """``private``: whether private attributes of objects count, too."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _EXACT:
        return bool(one == other)
    if kind is float:
        return repr(one) == repr(other)  # minus zero is another number, and NaN is itself
    if isinstance(one, enum.Enum):
        return one is other
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, datetime | time):
        return bool(one == other) and one.utcoffset() == other.utcoffset()
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            _same(a, b, private) and _same(one[a], other[b], private) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(_same(a, b, private) for a, b in zip(one, other, strict=True))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and {_typed(item) for item in one} == {_typed(item) for item in other}
    if isinstance(one, BaseModel):
        return _same_model(one, other, private)
    if dataclasses.is_dataclass(one):
        return _same(_state(one), _state(other), private)
    if "__eq__" in {name for cls in kind.__mro__[:-1] for name in vars(cls)}:
        return (one == other) is True
    state = _state(one)
    return bool(state) and _same(state, _state(other), private)


_EXACT = frozenset({str, int, bool, bytes, type(None), date, timedelta})


def _same_model(one: BaseModel, other: BaseModel, private: bool) -> bool:
    if not _same(vars(one), vars(other), private):
        return False
    if not _same(one.__pydantic_extra__, other.__pydantic_extra__, private):
        return False
    if private and not _same(one.__pydantic_private__, other.__pydantic_private__, private):
        return False
    if one.__pydantic_fields_set__ != other.__pydantic_fields_set__:
        # What was given and what is a default is part of the value (exclude_unset); JSON cannot say it.
        object.__setattr__(other, "__pydantic_fields_set__", set(one.__pydantic_fields_set__))
    return True


def _typed(item: Any) -> Any:
    """A set's element with its type: for Python, 1 is True."""
    if isinstance(item, tuple):
        return (type(item), *map(_typed, item))
    return (type(item), frozenset(map(_typed, item))) if isinstance(item, frozenset) else (type(item), item)


def _state(value: Any) -> dict[str, Any]:
    """The attributes of an object, in slots too."""
    slots = [slot for cls in type(value).__mro__ for slot in _slots(cls)]
    held = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    return {**held, **getattr(value, "__dict__", {})}


def _slots(cls: type) -> tuple[str, ...]:
    found = vars(cls).get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _readable_again(value: Any, where: str, depth: int) -> None:
    """Raises Misfit for a value that only one reader can read. Writing it as JSON would use it up."""
    kind = type(value)
    if kind in _EXACT or kind is float:
        return
    if depth > _DEEPEST:
        raise Misfit(where, "is nested too deep")
    if any(hasattr(kind, entry) for entry in ("__next__", "__anext__", "__await__")):
        raise Misfit(where, "can be read only once; give a list")
    if isinstance(value, dict):
        for key, item in value.items():
            _readable_again(key, where, depth + 1)
            _readable_again(item, where, depth + 1)
    elif isinstance(value, list | tuple | deque | set | frozenset):
        for item in value:
            _readable_again(item, where, depth + 1)
    elif isinstance(value, BaseModel):
        for item in _members(value).values():
            _readable_again(item, where, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in _state(value).values():
            _readable_again(item, where, depth + 1)


# A model and its JSON, side by side


@lru_cache(maxsize=4096)
def _fields(model: type[BaseModel]) -> tuple[tuple[str, tuple[str, ...], FieldInfo], ...]:
    """A model's fields: the name, every name that the field may have in JSON, and what pydantic knows of it."""
    found = []
    for name, info in model.model_fields.items():
        keys: list[Any] = [name, info.alias, info.serialization_alias]
        alias = info.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        keys += [choice.path[0] if isinstance(choice, AliasPath) else choice for choice in choices]
        found.append((name, tuple(dict.fromkeys(key for key in keys if isinstance(key, str))), info))
    return tuple(found)


def _shown_name(model: type[BaseModel], name: str) -> str:
    """A field as its caller knows it."""
    info = model.model_fields.get(name)
    return name if info is None or info.alias is None else info.alias


def _beside(read: Any, written: Json) -> Iterator[tuple[Any, Any, Json]]:
    """The parts of a value, each with its key in the JSON that was written of it; none where the two do not match."""
    if isinstance(read, BaseModel) and isinstance(written, dict):
        for name, keys, _ in _fields(type(read)):
            key = next((key for key in keys if key in written), None)
            if key is not None and name in vars(read):
                yield vars(read)[name], key, written[key]
        for name, value in (read.__pydantic_extra__ or {}).items():
            if name in written:
                yield value, name, written[name]
    elif isinstance(read, dict) and isinstance(written, dict) and len(read) == len(written):
        for value, (key, item) in zip(read.values(), written.items(), strict=True):
            yield value, key, item
    elif isinstance(read, list | tuple | deque) and isinstance(written, list) and len(read) == len(written):
        for index, (value, item) in enumerate(zip(read, written, strict=True)):
            yield value, index, item
    elif dataclasses.is_dataclass(read) and isinstance(written, dict):
        for name, value in _state(read).items():
            if name in written:
                yield value, name, written[name]


def _settle(read: Any, written: Any, where: str) -> None:
    """Put what was written of sets in one order: they are written in the order in which they were filled.

    Raises Misfit for a serializer that writes another text, number or truth than the value is: that would be judged.
    """
    if isinstance(read, RootModel) and isinstance(written, list | dict):
        return _settle(read.root, written, where)
    for part, key, item in _beside(read, written):
        value = part.root if isinstance(part, RootModel) else part
        place = str(key) if where == "(all)" else where
        if type(value) in _JSON_KINDS and not isinstance(value, list | dict) and not _same_json(value, item):
            raise Misfit(place, "is judged as another value than it is: take the serializer out of its type")
        if isinstance(value, set | frozenset) and isinstance(item, list):
            try:
                written[key] = sorted(item, key=canonical_bytes)
            except NotCanonical:
                continue  # refused when all of it becomes canonical
        elif isinstance(item, dict | list):
            _settle(value, item, place)
    return None


def _without_defaults(read: Any, judged: Any, written: Any) -> Any:
    """The judged JSON without what nobody gave and the model itself says."""
    if isinstance(read, RootModel):
        return _without_defaults(read.root, judged, written)
    if not isinstance(judged, dict | list):
        return judged
    inside = {key: (value, item) for value, key, item in _beside(read, written)}
    if isinstance(judged, list):
        parts = enumerate(judged)
        return [_without_defaults(inside[i][0], item, inside[i][1]) if i in inside else item for i, item in parts]
    bare = {}
    unset = _unset(read) if isinstance(read, BaseModel) else frozenset()
    for key, item in judged.items():
        value, was = inside.get(key, (None, _ABSENT))
        if key in unset and same(item, was):
            continue
        bare[key] = item if was is _ABSENT else _without_defaults(value, item, was)
    return bare


def _unset(read: BaseModel) -> frozenset[str]:
    """Every name of the fields that hold a default which is the same each time."""
    return frozenset(
        key
        for name, keys, info in _fields(type(read))
        if name not in read.model_fields_set and info.default is not PydanticUndefined and info.default_factory is None
        for key in keys
    )


# What was given, beside what was made of it


class _Changes:
    """Finds what the tool's types changed. ``instances``: some of it were objects of classes, made by code."""

    def __init__(self) -> None:
        self.coerced: list[str] = []
        self.retyped: list[str] = []
        self.instances = False

    def visit(self, given: Any, read: Any, written: Any, where: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise Misfit(_top(where), "is nested too deep")
        if isinstance(read, RootModel) and not isinstance(given, BaseModel):
            self.visit(given, read.root, written, where, depth + 1)
        elif isinstance(given, BaseModel) or (dataclasses.is_dataclass(given) and not isinstance(given, type)):
            self.instances = True
            if given is not read and not same(given, read):
                raise Misfit(_top(where), f"is of a class ({type(given).__name__}) whose values would be lost")
        elif isinstance(given, Mapping) and isinstance(read, BaseModel):
            self._members(given, read, written, where, depth)
        elif isinstance(given, Mapping) and (isinstance(read, dict) or dataclasses.is_dataclass(read)):
            self._items(given, read, written, where, depth)
        elif isinstance(given, _ROWS) and isinstance(read, list | tuple | deque) and len(given) == len(read):
            if type(given) is not list and type(given) is not type(read):
                self._note(where, True)
            items = written if isinstance(written, list) and len(written) == len(read) else [_ABSENT] * len(read)
            for index, (before, after, item) in enumerate(zip(given, read, items, strict=True)):
                self.visit(before, after, item, f"{where}/{index}", depth + 1)
        elif isinstance(given, (*_ROWS, set, frozenset)) and isinstance(read, set | frozenset):
            for before in given:
                if type(before) is bool and not any(after is before for after in read):
                    raise Misfit(_top(where), "holds true or false where numbers belong")
        else:
            self._scalar(given, read, written, where)

    def _members(self, given: Mapping[Any, Any], read: BaseModel, written: Any, where: str, depth: int) -> None:
        known: set[str] = set()
        members = _members(read)
        beside = written if isinstance(written, dict) else {}
        for name, keys, _ in _fields(type(read)):
            known.update(keys)
            key = next((key for key in keys[::-1] if key in given), None)
            if key is not None and name in members:
                item = next((beside[key] for key in keys if key in beside), _ABSENT)
                self.visit(given[key], members[name], item, f"{where}/{_escaped(key)}", depth + 1)
        for key in given:
            if key in known:
                continue
            if key in members:
                self.visit(given[key], members[key], beside.get(key, _ABSENT), f"{where}/{_escaped(key)}", depth + 1)
            else:
                self._note(f"{where}/{_escaped(key)}", True)  # the type takes no notice of it

    def _items(self, given: Mapping[Any, Any], read: Any, written: Any, where: str, depth: int) -> None:
        inside = read if isinstance(read, dict) else _state(read)
        if isinstance(read, dict) and type(given) is not dict and type(given) is not type(read):
            self._note(where, True)
        if isinstance(read, dict) and len(given) != len(read):
            self._note(where, False)
        beside = {key: item for _, key, item in _beside(read, written)}
        for key, before in given.items():
            place = f"{where}/{_escaped(key)}"
            if key in inside:
                self.visit(before, inside[key], beside.get(key, _ABSENT), place, depth + 1)
            else:
                self._note(place, True)

    def _scalar(self, given: Any, read: Any, written: Any, where: str) -> None:
        kind = type(given)
        if kind is bool and type(read) is not bool and isinstance(read, Number | date | timedelta):
            raise Misfit(_top(where), "is true or false where a number belongs")
        if kind not in _JSON_KINDS:
            self.instances = True
            if not same(given, read):
                self._note(where, True)
            elif isinstance(read, datetime | time) and not isinstance(read.tzinfo, timezone | TzInfo | None):
                self._note(where, False)  # JSON has the distance from UTC, not the zone
        elif written is _ABSENT:
            if not same(given, read):
                self._note(where, type(read) in _JSON_KINDS and _JSON_KINDS[kind] != _JSON_KINDS[type(read)])
        elif not _same_json(given, written):
            exact = isinstance(read, Decimal) and _JSON_KINDS[kind] == "number" and Decimal(str(given)) == read
            if not exact:
                self._note(where, _JSON_KINDS[kind] != _JSON_KINDS.get(type(written)))

    def _note(self, where: str, retyped: bool) -> None:
        for changed in (self.coerced, self.retyped) if retyped else (self.coerced,):
            if len(changed) < MOST_NAMED:
                changed.append(where)


_ROWS = (list, tuple, deque)
_JSON_KINDS: dict[type, str] = {
    bool: "truth", int: "number", float: "number", str: "text", type(None): "nothing", list: "list", dict: "object",
}  # fmt: skip


def _same_json(one: Any, other: Any) -> bool:
    if _JSON_KINDS[type(one)] == "number" == _JSON_KINDS.get(type(other)):
        return bool(one == other)  # JSON has one kind of number: 5 and 5.0
    return same(one, other)


def _escaped(key: Any) -> str:
    """One step of a JSON pointer (RFC 6901). Names are the model's, so they are cut."""
    text = str(key)[:64].encode("utf-8", "backslashreplace").decode()
    return text.replace("~", "~0").replace("/", "~1")


def _top(where: str) -> str:
    return where.split("/")[1] if "/" in where else "(all)"
