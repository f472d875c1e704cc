"""What one call keeps of its result and its arguments, and why it does not keep the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentguard.core.canonical import NotCanonical, canonical_bytes, read_canonical
from agentguard.core.decide import STOPS
from agentguard.core.growing import Growth
from agentguard.core.policy import Fault
from agentguard.core.values import Json
from agentguard.policy.keeps import Keep

# Of each reason so many characters stand in the record, which is bounded.
_MOST_SAID = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """What one call keeps: ``values`` in place of earlier ones, what it adds to values that grow, and by name why
    something is not kept."""

    values: Mapping[str, Json] = field(default_factory=dict)
    grown: tuple[Growth, ...] = ()
    missed: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_values(self) -> dict[str, Json]:
        """Each value that this call brings, by the name under which it is kept."""
        return {**self.values, **{growth.name: growth.value for growth in self.grown if growth.how != "forget"}}

    @property
    def trouble(self) -> str | None:
        """What was not kept, and why, for the record; no value is in it."""
        return "; ".join(f"could not keep {name}: {why}" for name, why in self.missed.items()) or None


NOTHING_KEPT = Kept()


def keep_all(keeps: Iterable[Keep], result: Any, roots: Mapping[str, Any]) -> Kept:
    """What these keep. Never raises: the tool has run, and its outcome must be written."""
    values: dict[str, Json] = {}
    grown: list[Growth] = []
    missed: dict[str, str] = {}
    for keep in keeps:
        try:
            if keep.form == "set":
                fault = None
                value = keep.extract(result, roots)
                if isinstance(value, Fault):
                    raise NotCanonical(value.detail)
                values[keep.name] = read_canonical(canonical_bytes(value))
            else:
                growths, fault = keep.growths(result, roots)
                for growth in growths:
                    plain = read_canonical(canonical_bytes(growth.value))
                    grown.append(Growth(growth.name, growth.how, growth.key, plain))
            if fault is not None:
                missed[keep.name] = fault.detail[:_MOST_SAID]
        except STOPS:
            raise
        except NotCanonical as error:
            missed[keep.name] = str(error)[:_MOST_SAID]
        except BaseException as error:  # a result of any kind
            missed[keep.name] = type(error).__name__
    return Kept(values, tuple(grown), missed)
