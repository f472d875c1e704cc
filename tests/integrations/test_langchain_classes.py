"""Tool classes as people write them are wrapped, and what they add of their own is no door to the tool."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Dict, List, Literal, Optional, Type, Union  # noqa: UP035  (as people write them)

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator
from small_bundle import WHOLE, guard_of

from agentguard import ConfigurationError, ToolCallDenied
from integrations.conftest import Doorkeeper

# ruff: noqa: UP006, UP007, UP045, RUF012  (as people write them)


class Sum(BaseModel):
    a: int
    b: int


class Plain(BaseTool):
    name: str = "sum"
    description: str = "Add."

    def _run(self, a: int, b: int) -> str:
        return str(a + b)


class WithSchema(Plain):
    args_schema: Type[BaseModel] = Sum


class WithOptionalSchema(Plain):
    args_schema: Optional[Type[BaseModel]] = Sum


class WithUnannotatedSchema(Plain):
    args_schema: type[BaseModel] = Sum
    handle_tool_error: Optional[Union[bool, str, Callable[[Any], str]]] = True


class WithFields(Plain):
    unit: Optional[str] = None
    units: List[str] = Field(default_factory=list)
    table: Dict[str, int] = {}
    mode: Literal["x", "y"] = "x"
    either: Union[int, str, None] = None
    nested: Dict[str, Optional[List[int]]] = {}


class WithClassVars(Plain):
    UNITS: ClassVar[List[str]] = ["m"]
    KINDS: ClassVar[Dict[str, Type[BaseModel]]] = {}
    limit: ClassVar[int] = 3


class Shared:
    """A plain mixin: not a model, without slots."""

    prefix = ""

    def _written(self, value: int) -> str:
        return f"{self.prefix}{value}"


class WithMixin(Shared, Plain):
    def _run(self, a: int, b: int) -> str:
        return self._written(a + b)


class ModelMixin(BaseModel):
    base_url: str = "https://api.corp.example"

    def _add(self, a: int, b: int) -> int:
        return a + b


class WithModelMixin(ModelMixin, Plain):
    def _run(self, a: int, b: int) -> str:
        return str(self._add(a, b))


class WithPrivate(Plain):
    _client: Any = PrivateAttr(default=None)
    _seen: List[int] = PrivateAttr(default_factory=list)
    _adder: Any = PrivateAttr(default_factory=lambda: lambda a, b: a + b)

    def model_post_init(self, context: Any, /) -> None:
        self._client = print

    def _run(self, a: int, b: int) -> str:
        self._seen.append(a)
        return str(self._adder(a, b))


class WithValidators(Plain):
    key: str = "k"

    @field_validator("key")
    @classmethod
    def not_empty(cls, value: str) -> str:
        assert value
        return value

    @model_validator(mode="before")
    @classmethod
    def environment(cls, values: Any) -> Any:
        return values

    @model_validator(mode="after")
    def together(self) -> Any:
        return self

    @classmethod
    def from_key(cls, key: str) -> Any:
        return cls(key=key)

    @property
    def shown(self) -> str:
        return self.key


class WithConfig(Plain):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    anything: Any = Field(default=None, exclude=True)


class WithHelper(Plain):
    """A public method of its own, as a session to close or a client's user agent."""

    def add(self, a: int, b: int) -> int:
        return a + b

    @staticmethod
    def add_static(a: int, b: int) -> int:
        return a + b

    def _run(self, a: int, b: int) -> str:
        return str(self.add(a, b))


class Helper:
    def add(self, a: int, b: int) -> int:
        return a + b


class WithHelperMixin(Helper, Plain):
    def _run(self, a: int, b: int) -> str:
        return str(self.add(a, b))


class WithCallable(Plain):
    add: Callable[[int, int], int] = lambda a, b: a + b
    others: List[Any] = [print]

    def _run(self, a: int, b: int) -> str:
        return str(self.add(a, b))


class WithExtra(Plain):
    model_config = ConfigDict(extra="allow")


class WithTable(Plain):
    OPERATIONS: ClassVar[Dict[str, Any]] = {"add": lambda a, b: a + b}

    def _run(self, a: int, b: int) -> str:
        return str(self.OPERATIONS["add"](a, b))


ORDINARY = [
    Plain, WithSchema, WithOptionalSchema, WithUnannotatedSchema, WithFields, WithClassVars, WithMixin, WithModelMixin,
    WithPrivate, WithValidators, WithConfig, WithHelper, WithHelperMixin, WithCallable, WithTable,
]  # fmt: skip


@pytest.mark.parametrize("cls", ORDINARY)
def test_an_ordinary_tool_class_is_wrapped_and_works(cls: Any) -> None:
    with guard_of({"sum": {"args": {"a": WHOLE, "b": WHOLE}, "require": ["args.a < 10"]}}) as guard:
        guarded = guard.wrap(cls())
        with guard.run("w"):
            assert guarded.invoke({"a": 2, "b": 3}) == "5"
            with pytest.raises(ToolCallDenied):
                guarded.invoke({"a": 20, "b": 3})
    assert isinstance(guarded, cls)


DOORS: dict[str, tuple[Callable[[], BaseTool], Callable[[Any], Any]]] = {
    "a method": (WithHelper, lambda tool: tool.add(2, 3)),
    "a static method": (WithHelper, lambda tool: tool.add_static(2, 3)),
    "a static method of the class": (WithHelper, lambda tool: type(tool).add_static(2, 3)),
    "a mixin's method": (WithHelperMixin, lambda tool: tool.add(2, 3)),
    "an attribute": (WithCallable, lambda tool: tool.add(2, 3)),
    "a list in an attribute": (WithCallable, lambda tool: tool.others(2, 3)),
    "a table of the class": (WithTable, lambda tool: tool.OPERATIONS(2, 3)),
    "an extra": (lambda: WithExtra(add=print), lambda tool: tool.add(2, 3)),
    "a tool inside": (lambda: WithExtra(inner=Plain()), lambda tool: tool.inner(2, 3)),
    "an attribute of this object": (lambda: _with_own(Plain()), lambda tool: tool.helper(2, 3)),
}


def _with_own(tool: BaseTool) -> BaseTool:
    object.__setattr__(tool, "helper", lambda a, b: a + b)
    return tool


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda tool: tool.model_copy()])
def test_what_a_class_adds_of_its_own_is_shut_on_the_guarded_tool(
    door: str, copied: Callable[[Any], Any], keeper: Doorkeeper
) -> None:
    """And works on the original, where the body finds it."""
    from agentguard.integrations.langchain import wrap

    make, use = DOORS[door]
    original = make()
    guarded = wrap(keeper, original)  # type: ignore[arg-type]
    keeper.permit()
    for tool in (guarded, copied(guarded)):
        with pytest.raises(ConfigurationError, match="is shut on the guarded tool"):
            use(tool)
    if "tool inside" not in door and "list" not in door and "table" not in door:
        use(original)


def test_a_structured_tools_subclass_may_add_methods(keeper: Doorkeeper) -> None:
    from agentguard.integrations.langchain import wrap

    class Mine(StructuredTool):
        def close(self) -> str:
            return "closed"

    def add(a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    guarded: Any = wrap(keeper, Mine.from_function(add))  # type: ignore[arg-type]
    keeper.permit()
    assert guarded.invoke({"a": 2, "b": 3}) == "5"
    with pytest.raises(ConfigurationError, match="`close` of `add` is shut"):
        guarded.close()
