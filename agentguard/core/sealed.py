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
    # Without a text of its own, one would be made of its signature, and that takes longer than all the rest.
    said = {"__doc__": "Its unfrozen twin."}
    names = [each.name for each in fields]
    twin = dataclasses.make_dataclass(
        f"_{cls.__name__}", names, namespace=said, slots=True, init=False, eq=False, repr=False, match_args=False
    )
    # The twin must be laid out alike; Python refuses the change of class where it is not.
    setattr(object.__new__(twin), "__class__", cls)  # noqa: B010
    given: dict[str, Any] = {"_put": object.__setattr__, "_twin": twin, "_cls": cls}
    takes, fills = ["self"], []
    for field in fields:
        name, takes_it, value = field.name, field.name, field.name
        if field.default is not dataclasses.MISSING:
            given[f"_default_{name}"] = field.default
            takes_it = f"{name}=_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            given |= {f"_make_{name}": field.default_factory, f"_default_{name}": dataclasses.MISSING}
            takes_it = f"{name}=_default_{name}"
            value = f"_make_{name}() if {name} is _default_{name} else {name}"
        takes.append(takes_it)
        fills.append(f"    self.{name} = {value}\n")
    # Written out as text, as `dataclasses` itself does: one function with the fields as its parameters.
    source = f"def __init__({', '.join(takes)}):\n    _put(self, '__class__', _twin)\n{''.join(fills)}"
    made: dict[str, Any] = {}
    exec(f"{source}    self.__class__ = _cls\n", given, made)  # noqa: S102 - of the names of fields alone
    init, plain = made["__init__"], vars(cls)["__init__"]
    init.__qualname__, init.__module__, init.__annotations__ = plain.__qualname__, cls.__module__, plain.__annotations__
    setattr(cls, "__init__", init)  # noqa: B010  a class of any kind
    return cls
