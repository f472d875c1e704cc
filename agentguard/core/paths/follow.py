"""From a path to a value, or to ``Missing``; and where two places may be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agentguard.core.canonical import NotCanonical, canonical_bytes
from agentguard.core.paths.steps import Every, Literal, Named, Path, Place, Step, Values, Where


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such value. ``detail`` says which part of the path led nowhere, without any value."""

    detail: str


Opened: TypeAlias = "Callable[[Any], Any]"


def _as_it_is(value: Any) -> Any:
    return value


def value_at(path: Path, roots: Mapping[str, Any], opened: Opened = _as_it_is) -> Any | Missing:
    """The value at a path. ``opened`` gives a container as a dict or list, and anything else as it is."""
    if path.root not in roots:
        return Missing(f"`{path}`: nothing is known of `{path.root}`")
    return _follow(path, roots[path.root], 0, roots, opened)


def _follow(path: Path, value: Any, first: int, roots: Mapping[str, Any], opened: Opened) -> Any | Missing:
    for at in range(first, len(path.steps)):
        step = path.steps[at]
        inside = opened(value)
        if isinstance(step, Every | Values):
            if not isinstance(inside, list if isinstance(step, Every) else dict):
                return Missing(f"`{path}`: there is no {'list' if isinstance(step, Every) else 'object'}")
            return _each(path, inside, at + 1, roots, opened)
        if isinstance(step, Where):
            value = _the_one(path, step, inside, roots, opened)
        else:
            key = value_at(step.by, roots, opened) if isinstance(step, Named) else step
            if isinstance(step, Named) and isinstance(inside, dict) and type(key) is int:
                key = str(key)  # a name is text
            value = key if isinstance(key, Missing) else _member(inside, key)
            if value is _NOTHING:
                return Missing(f"`{path}`: there is no {_said(step)}")
        if isinstance(value, Missing):
            return value
    return value


def _each(
    path: Path, inside: Any, rest: int, roots: Mapping[str, Any], opened: Opened
) -> list[Any] | dict[str, Any] | Missing:
    """What each element or value leads to. Lists in lists become one list; an object keeps its names."""
    found: dict[Any, Any] = {}
    for name, element in inside.items() if isinstance(inside, dict) else enumerate(inside):
        value = _follow(path, element, rest, roots, opened)
        if isinstance(value, Missing):
            return value if isinstance(inside, dict) else Missing(f"{value.detail}, in element {name}")
        found[name] = value
    if isinstance(inside, dict):
        return found
    following = next((step for step in path.steps[rest:] if isinstance(step, Every | Values)), None)
    return (
        [*found.values()] if not isinstance(following, Every) else [part for value in found.values() for part in value]
    )


_NOTHING: Any = object()


def _member(inside: Any, key: Any) -> Any:
    if isinstance(inside, dict) and isinstance(key, str):
        return inside.get(key, _NOTHING)
    if isinstance(inside, list) and isinstance(key, int) and not isinstance(key, bool):
        return inside[key] if -len(inside) <= key < len(inside) else _NOTHING
    return _NOTHING


def _the_one(path: Path, step: Where, inside: Any, roots: Mapping[str, Any], opened: Opened) -> Any | Missing:
    if not isinstance(inside, list):
        return Missing(f"`{path}`: there is no list to look in")
    wanted: list[tuple[tuple[str | int, ...], object]] = []
    for test in step.tests:
        value = test.value.value if isinstance(test.value, Literal) else value_at(test.value, roots, opened)
        if isinstance(value, Missing):
            return value
        exact = scalar_key(value)
        if exact is None:
            return Missing(f"`{path}`: `{test.value}` is no text, number or other single value")
        wanted.append((test.field, exact))
    fitting = [element for element in inside if all(_says(element, place, exact, opened) for place, exact in wanted)]
    if not fitting:
        return Missing(f"`{path}`: no element says so")
    if len(fitting) > 1 and len({_exactly(element, opened) for element in fitting}) > 1:
        return Missing(f"`{path}`: several different elements say so")
    return fitting[0]


def _says(element: Any, place: Sequence[str | int], exact: object, opened: Opened) -> bool:
    for key in place:
        element = _member(opened(element), key)
    return scalar_key(element) == exact


def scalar_key(value: Any) -> tuple[str, Any] | None:
    """What two texts, numbers, booleans or nulls have in common where they are equal in value and in type; None for
    anything else."""
    if value is None or isinstance(value, bool):
        return "word", value
    if isinstance(value, str):
        return "text", str(value)
    if isinstance(value, int | float):
        return ("number", value) if value - value == 0 else None
    return None


def _exactly(value: Any, opened: Opened) -> object:
    """Equal for two elements that are the same in value and type; for one that has no JSON form, of its own."""
    inside = opened(value)
    try:
        return canonical_bytes(inside)
    except NotCanonical:
        return object()


def leaves_at(steps: Sequence[Step], value: Any) -> Iterator[Any]:
    """Every text, number, boolean and null below a place, of each element that has it. What has not is passed over.

    Which element ``[?…]`` or ``[args.name]`` means is not known here: each one that it could be.
    """
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        item, at = pending.pop()
        inside: Sequence[Any] = ()
        if at >= len(steps):
            if not isinstance(item, dict | list):
                yield item
                continue
            inside = [*item.values()] if isinstance(item, dict) else item
        else:
            step = steps[at]
            if isinstance(item, list) and isinstance(step, Every | Where | Named):
                inside = item
            elif isinstance(item, dict) and isinstance(step, Values | Named):
                inside = [*item.values()]
            elif isinstance(step, str | int):
                found = _member(item, step)
                inside = () if found is _NOTHING else (found,)
            at += 1
        pending += [(part, at) for part in reversed(inside)]


def values_standing_at(place: Place, arguments: Mapping[str, Any]) -> Iterator[Any]:
    """What stands at a place in the arguments, whole, in order. What is missing or of another shape is passed over."""
    pending: list[tuple[Any, int]] = [(arguments, 0)]
    while pending:
        value, at = pending.pop()
        if at == len(place):
            yield value
            continue
        step = place[at]
        if isinstance(step, Every):
            pending += [(each, at + 1) for each in reversed(value)] if isinstance(value, list) else []
        elif isinstance(value, Mapping) and step in value:
            pending.append((value[step], at + 1))


def place_in_words(place: Place) -> str:
    """A place as people write it: ``attachments[*].file_id``."""
    return "".join("[*]" if isinstance(step, Every) else f".{step}" for step in place).lstrip(".")


def may_meet(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether two places in one value can be the same, or one of them inside the other."""
    return all(_may_be(a, b) for a, b in zip(one, other, strict=False))


def _may_be(one: Step, other: Step) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if isinstance(one, int) and isinstance(other, int):
        return one == other or (one < 0) is not (other < 0)
    in_lists, in_objects = (int, Every, Where), (str, Values)
    return not (
        (isinstance(one, in_lists) and isinstance(other, in_objects))
        or (isinstance(one, in_objects) and isinstance(other, in_lists))
    )


def _said(step: Step) -> str:
    if isinstance(step, int):
        return f"element {step}"
    return f"member `{step.by}`" if isinstance(step, Named) else f"`{step}`"
