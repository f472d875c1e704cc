"""Plain arguments are read by a shorter way. It says what the long way says, or leaves the call to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from agentguard.guard.arguments.given import Codec
from agentguard.guard.arguments.misfits import Unfaithful
from agentguard.guard.arguments.plain import PlainFields
from agentguard.guard.arguments.same import same
from agentguard.guard.arguments.signature import Signature


def plain(
    text: str,
    count: int = 3,
    share: float = 0.5,
    sure: bool = False,
    names: list[str] | None = None,
    rows: list[dict[str, int]] = [],  # noqa: B006
    bare: dict = {},  # type: ignore[type-arg]  # noqa: B006
    anything: Any = None,
    word: Literal["a", "b"] = "a",
    wrong_default: str = None,  # type: ignore[assignment]  # noqa: RUF013
    few: Annotated[list[int], Field(max_length=2)] = [],  # noqa: B006
) -> None: ...


ODD = [True, 1, 1.0, -0.0, "1", "\ud800", "é", float("nan"), float("inf"), 2**53, None, b"x", (1,), {1}, {1: 2}, object]
VALUES = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=3) | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
FITTING = st.fixed_dictionaries(
    {"text": st.text(max_size=5)},
    optional={
        "count": st.integers(),
        "share": st.floats(),
        "sure": st.booleans(),
        "names": st.none() | st.lists(st.text(max_size=3), max_size=3),
        "rows": st.lists(st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), max_size=2),
        "bare": st.dictionaries(st.text(max_size=2), VALUES, max_size=2),
        "anything": VALUES,
        "word": st.sampled_from(["a", "b", "c"]),
        "few": st.lists(st.integers(), max_size=3),
    },
)
NAMES = st.sampled_from([*plain.__annotations__][:-1])


def read(codec: Codec, way: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        reading = way(codec, arguments)
        again = reading.again(dict(reading.values))
    except Exception as error:
        return type(error).__name__, str(error)
    return dict(vars(again)), again.model_fields_set, reading.values, reading.coerced, reading.retyped


@settings(max_examples=200, deadline=None)
@given(FITTING, st.dictionaries(NAMES | st.just("more"), VALUES, max_size=2))
@example({"text": "x"}, {"share": 5})
@example({"text": "x"}, {"count": True})
@example({"text": "x"}, {"anything": {"b": [1, {"a": None}]}})
def test_the_short_way_says_what_the_long_way_says(fitting: dict[str, Any], odd: dict[str, Any]) -> None:
    signature = Signature.of(plain)
    short, long = signature.codec, Signature.of(plain).codec
    assert short._plain is not None
    long._plain = None
    for way in (Codec.read, Codec.read_json):
        by_short, by_long = (read(codec, way, {**fitting, **odd}) for codec in (short, long))
        assert same(by_short, by_long)


def test_what_was_judged_is_a_copy() -> None:
    """The caller still holds the list and can change it, from another thread, before the tool runs."""
    given_list, inside = ["a"], {"k": ["v"]}
    reading = Signature.of(plain).codec.read({"text": "x", "names": given_list, "anything": inside})
    given_list.append("b")
    inside["k"].append("w")

    assert (reading.values["names"], reading.values["anything"]) == (["a"], {"k": ["v"]})


def test_no_call_gets_the_default_of_another() -> None:
    codec = Signature.of(plain).codec
    readings = [codec.read({"text": "x"}) for _ in range(2)]
    for reading in readings:
        vars(reading.again(dict(reading.values)))["5"].append({"left": 1})

    assert [reading.values["rows"] for reading in (*readings, codec.read({"text": "x"}))] == [[], [], []]


def short(
    text: Annotated[str, Field(max_length=2)] = "",
    code: Annotated[str, Field(pattern="^[a-z]$")] = "a",
    count: Annotated[int, Field(le=5)] = 0,
    share: float = 0.0,
) -> None: ...


@pytest.mark.parametrize("odd", [{"text": "abc"}, {"code": "ab"}, {"count": 6}, {"share": 1}, {"count": True}])
def test_where_a_field_says_more_than_its_type_pydantic_is_asked(odd: dict[str, Any]) -> None:
    """A text of the right type may still be too long: only a field that limits nothing is read without pydantic."""
    signature = Signature.of(short)
    assert signature.codec._plain is not None
    before, long = read(signature.codec, Codec.read, odd), Signature.of(short).codec
    long._plain = None

    assert before == read(long, Codec.read, odd)


class Stripping(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    x: str


def test_a_model_that_changes_texts_is_asked_what_it_makes_of_them() -> None:
    codec = Codec("strip", Stripping, Stripping.model_json_schema(), by_alias=False)

    assert codec.read({"x": " a "}).values == {"x": "a"}


def test_what_is_handed_on_is_no_copy_of_what_somebody_holds() -> None:
    """The same object without a model, as with it: what was judged, and nothing that was not."""
    reading = Signature.of(plain).codec.read({"text": "x"})
    judged = dict(reading.values)

    assert reading.held_again(judged) == vars(reading.again(dict(reading.values)))
    with pytest.raises(Unfaithful):
        reading.held_again({**judged, "count": "3"})


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int


class Validated(BaseModel):
    x: int

    @model_validator(mode="after")
    def turn(self) -> Any:
        self.x += 1
        return self


class Own(BaseModel):
    x: int

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return {"x": 7}


class Begun(BaseModel):
    x: int

    def model_post_init(self, context: Any, /) -> None:
        self.x += 1


class Aliased(BaseModel):
    x: int = Field(alias="X")


def test_a_model_of_its_own_mind_goes_the_long_way() -> None:
    """It may read or write its values in another way, and what it writes is what is judged."""
    plain_ones = [PlainFields.of(model, by_alias=False) is not None for model in (Forbidding, Validated, Own, Begun)]

    assert plain_ones == [True, False, False, False]
    assert PlainFields.of(Aliased, by_alias=True) is not None
    assert PlainFields.of(Aliased, by_alias=False) is None


@pytest.mark.parametrize(
    "hint",
    [
        Annotated[int, AfterValidator(lambda value: value + 1)],
        Annotated[int, PlainSerializer(lambda value: value + 1)],
        list[Annotated[int, AfterValidator(lambda value: value + 1)]],
        dict[str, Annotated[int, PlainSerializer(lambda value: value + 1)]],
        Annotated[list[int], PlainSerializer(sorted)],
        int | str,
        bytes,
        Forbidding,
        set[str],
        Literal[1, True],
    ],
)
def test_a_type_with_code_of_its_own_goes_the_long_way(hint: Any) -> None:
    def act(x: Any) -> None: ...

    act.__annotations__["x"] = hint

    assert Signature.of(act).codec._plain is None
