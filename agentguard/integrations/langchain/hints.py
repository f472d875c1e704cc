"""Reads what LangChain reads from a function's annotations, once, when the tool is wrapped."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from langchain_core.tools.base import _is_injected_arg_type


def parameters_of(function: Callable[..., Any] | None) -> tuple[inspect.Parameter, ...]:
    """The parameters, or none where the function hides them."""
    if function is None:
        return ()
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()


def annotations_of(function: Callable[..., Any] | None) -> dict[str, Any]:
    """Parameter annotations with their metadata; those that cannot be resolved stay as they were written."""
    found = {parameter.name: parameter.annotation for parameter in parameters_of(function)}
    target: Any = function.func if isinstance(function, functools.partial) else function
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except Exception:
        hints = {}
    return {name: hints.get(name, hint) for name, hint in found.items()}


def config_parameter(function: Callable[..., Any] | None) -> str | None:
    """The parameter that takes LangChain's RunnableConfig, by its annotation."""
    return next((name for name, hint in annotations_of(function).items() if hint is RunnableConfig), None)


def is_injected(hint: Any, kind: type[InjectedToolArg] | None = None) -> bool:
    """Whether a parameter is filled in at run time and not shown to the model."""
    return _is_injected_arg_type(hint, kind)
