"""Frozen values that cost little to make.

A frozen dataclass fills itself through ``object.__setattr__``, which takes several times as long as filling an ordinary
object, and a call makes a dozen of them with up to twenty fields. A ``sealed`` class fills itself while it is its own
unfrozen twin, and takes its own class at the end. Whoever has one cannot change it, as before. It is quicker from six
fields on; a class of fewer is left as it is.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, TypeVar

T = TypeVar("T")


def sealed(cls: type[T]) -> type[T]:
    """For a dataclass with ``frozen=True, slots=True``: the same class with a quicker ``__init__``."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)  # type: ignore[arg-type]
    alike: list[tuple[str, Any, Any]] = [(field.name, Any, _default(field)) for field in fields]
    # Without a text of its own, one would be made of its signature, and that takes longer than all the rest.
    said = {"__doc__": "Its unfrozen twin."}
    twin = dataclasses.make_dataclass(
        f"_{cls.__name__}", alike, namespace=said, slots=True, eq=False, repr=False, match_args=False
    )
    # The twin must be laid out alike; Python refuses the change of class where it is not.
    setattr(object.__new__(twin), "__class__", cls)  # noqa: B010
    fill, put = vars(twin)["__init__"], object.__setattr__

    @functools.wraps(vars(cls)["__init__"])
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        put(self, "__class__", twin)
        fill(self, *args, **kwargs)
        self.__class__ = cls

    setattr(cls, "__init__", __init__)  # noqa: B010  a class of any kind
    return cls


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    return dataclasses.field(default=field.default)
