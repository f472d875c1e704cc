"""What is wrong with the arguments of a call: errors that name arguments and hold no value."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from agentguard.errors import ConfigurationError


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


def first_place(error: Exception) -> str | None:
    if not isinstance(error, ValidationError):
        return None
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        if detail["loc"]:
            return str(detail["loc"][0])
    return None


def binder(
    function: Callable[..., Any], by_position: Collection[str] = ()
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Gives values back if the function takes each of them by its name, or by its position. That raises Misnamed."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return lambda values: values  # a builtin that says nothing of its parameters
    parameters = list(signature.parameters.values())
    plain = not by_position and all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
    taken = frozenset(p.name for p in parameters)
    needed = frozenset(p.name for p in parameters if p.default is p.empty)

    def bind(values: dict[str, Any]) -> dict[str, Any]:
        if plain and needed <= values.keys() <= taken:
            return values
        args = [values[name] for name in by_position if name in values]
        kwargs = {name: value for name, value in values.items() if name not in by_position}
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            raise misnamed(signature, args, kwargs) from None
        return values

    return bind


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
