"""Frozen values that cost little to make.

A frozen dataclass fills itself through ``object.__setattr__``, which takes several times as long as filling an ordinary
object, and a call makes a dozen of them with up to twenty fields. A ``sealed`` class fills itself while it is its own
unfrozen twin, and takes its own class at the end. Whoever has one cannot change it, as before.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

T = TypeVar("T")


def sealed(cls: type[T]) -> type[T]:
    """For a dataclass with ``frozen=True, slots=True``: the same class with a quicker ``__init__``."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)  # type: ignore[arg-type]
    twin = type(f"_{cls.__name__}", (), {"__slots__": tuple(field.name for field in fields)})
    # The twin must be laid out alike; Python refuses the change of class where it is not.
    object.__new__(twin).__class__ = cls  # type: ignore[assignment]
    known: dict[str, Any] = {"_twin": twin, "_cls": cls, "_put": object.__setattr__, "_make": _MAKE}
    parameters: list[str] = []
    lines = ["_put(self, '__class__', _twin)"]
    for field in fields:
        name = field.name
        if field.default_factory is not dataclasses.MISSING:
            known[f"_of_{name}"] = field.default_factory
            parameters.append(f"{name}=_make")
            lines.append(f"self.{name} = _of_{name}() if {name} is _make else {name}")
        else:
            known[f"_of_{name}"] = field.default
            parameters.append(name if field.default is dataclasses.MISSING else f"{name}=_of_{name}")
            lines.append(f"self.{name} = {name}")
    lines.append("self.__class__ = _cls")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n    ".join(lines)
    exec(f"def __init__(self, {', '.join(parameters)}):\n    {body}", known)  # noqa: S102  names of our own fields
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = dict(vars(cls)["__init__"].__annotations__)
    setattr(cls, "__init__", made)  # noqa: B010  a class of any kind
    return cls


_MAKE: Any = object()
