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
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from agentguard.core.sealed import sealed
from agentguard.core.values import Json
from agentguard.guard.arguments.changes import Changes
from agentguard.guard.arguments.misfits import Unfaithful, first_place
from agentguard.guard.arguments.parts import ABSENT, members, shown_name
from agentguard.guard.arguments.plain import NotPlain, PlainFields, plain
from agentguard.guard.arguments.same import same, same_members, same_value
from agentguard.guard.arguments.types import refuse_types
from agentguard.guard.arguments.written import readable_again, settle, without_defaults
from agentguard.policy.json_schema.extent import Levels


def _as_it_is(values: dict[str, Json]) -> Any:
    return values


@sealed
@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of one call. ``values`` are judged; ``ready`` makes of the judged values what the tool gets.

    ``ready`` is called before the call is admitted, and everything that can fail fails there. ``coerced``: where the
    tool's types made another value of what was given, as JSON pointers; ``retyped``: where of another type.
    ``call_id``: the call's id, where it stood among its arguments.
    """

    values: Mapping[str, Json]
    ready: Callable[[dict[str, Json]], Any] = _as_it_is
    coerced: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()
    call_id: str | None = None


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
        refuse_types(name, model, by_alias, frozenset(aside))
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
            copied, left_alone = self._plain.copy(given)
            values = self._plain.whole(copied)
        except NotPlain:
            return None
        read = None if left_alone else self.same_by_plain_types(values, copied)
        return Reading(self, copied, read, {}, values) if left_alone or read is not None else None

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

    def of_plain(self, values: Mapping[str, Json], given: Collection[str]) -> BaseModel:
        """The model of values that are known to be what pydantic reads of them (``same_by_plain_types``)."""
        names = {} if self._plain is None else self._plain.names
        made = self.model.__new__(self.model)
        object.__setattr__(made, "__dict__", {name: plain(values[key]) for key, name in names.items()})
        object.__setattr__(made, "__pydantic_fields_set__", {names[key] for key in given})
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    def by_field(self, values: Mapping[str, Json]) -> dict[str, Any]:
        """As ``of_plain``, without the model: what each field holds. ``values`` are nobody else's."""
        names = {} if self._plain is None else self._plain.names
        return {names[key]: value for key, value in values.items()}

    def are_left_alone(self, values: Mapping[str, Json]) -> bool:
        """Whether pydantic would read of these, and of these alone, what they are."""
        try:
            return self._plain is not None and self._plain.copy(values)[1]
        except NotPlain:
            return False

    def dump(self, model: BaseModel, aside: Mapping[str, Any]) -> dict[str, Json]:
        """A model's values as JSON. Raises ValueError for what has no JSON form."""
        for name, value in members(model).items():
            if name not in aside:
                readable_again(value, shown_name(self.model, name), 0)
        left_out = {name for name in self._hidden if name not in model.model_fields_set} | aside.keys()
        try:
            values: dict[str, Json] = model.model_dump(
                mode="json", by_alias=self._by_alias, exclude=left_out or None, round_trip=True, warnings=False
            )
        except PydanticSerializationError:
            raise ValueError(f"the arguments of `{self.name}` cannot be written as JSON") from None
        self.levels.check(values)  # objects that code made: they will be read from JSON
        settle(model, values, "(all)")
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
        read: BaseModel | None,
        aside: Mapping[str, Any],
        plain: dict[str, Json] | None = None,
    ) -> None:
        """``plain``: all of the values as JSON, where they are known to be what was given; then ``read`` may be None,
        where pydantic was not asked because it would have changed nothing."""
        self._codec = codec
        self._model = read
        fields = codec.model.model_fields if aside else ()
        self._aside = {name: value for name, value in aside.items() if name in fields} if aside else {}
        self._plain = None if plain is None else given.keys()
        self.coerced: tuple[str, ...] = ()
        self.retyped: tuple[str, ...] = ()
        if plain is not None:
            self.values, self._made_by_code = plain, False
            return
        self.values = codec.dump(self._read, self._aside)
        changes = Changes()
        changes.visit(dict(given), self._read, self.values, "", 0)
        self._made_by_code = changes.instances
        self.coerced, self.retyped = tuple(changes.coerced), tuple(changes.retyped)

    @property
    def _read(self) -> BaseModel:
        if self._model is None:
            self._model = self._codec.model.model_validate({key: self.values[key] for key in self._plain or ()})
        return self._model

    def held_again(self, judged: dict[str, Json]) -> dict[str, Any]:
        """What each field holds of the values that were judged, as the tool gets them. Raises Unfaithful.

        ``judged`` is nobody else's. As ``again``, without a model where none has to be built: plain JSON is read back
        from the bytes, and a destination in its canonical form is a text like the one that was given.
        """
        if self._plain is not None and (
            same_members(judged, self.values)
            or (self._model is None and judged.keys() == self.values.keys() and self._codec.are_left_alone(judged))
        ):
            return self._codec.by_field(judged)
        return members(self.again(judged))

    def again(self, judged: Mapping[str, Json]) -> BaseModel:
        """The values that were judged, as the tool gets them. Raises Unfaithful.

        ``judged`` may differ from ``values`` where a destination was brought to its canonical form.
        """
        as_read = same(dict(judged), self.values)
        if as_read and self._plain is not None:  # plain JSON needs no second reading by the types: it is what it was
            return self._codec.of_plain(judged, self._plain)
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
                failed = failed or first_place(error)
                continue
            wrong = self._first_other(again)
            if wrong is None:
                return again
            failed = failed or wrong
        raise Unfaithful(self._codec.name, failed or "(all)")

    def _forms(self, judged: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
        """The judged values; then without the defaults that nobody gave, which may not fit their own annotation."""
        yield judged
        bare = without_defaults(self._read, dict(judged), self.values)
        if bare != judged:
            yield bare

    def _first_other(self, again: BaseModel) -> str | None:
        """The first argument that is not what it was."""
        if type(again) is not type(self._read):
            return "(all)"
        before, after = members(self._read), members(again)
        for name in before.keys() | after.keys():
            if name not in self._aside and not same_value(
                before.get(name, ABSENT), after.get(name, ABSENT), self._made_by_code
            ):
                return shown_name(self._codec.model, name)
        return None

    def _culprit(self, judged: Mapping[str, Json]) -> str:
        changed = [name for name, value in judged.items() if not same(value, self.values.get(name, ABSENT))]
        return changed[0] if changed else "(all)"
