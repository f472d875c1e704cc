"""What one entry of ``keep`` may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from agentguard.policy.models.words import Line, StrictModel


class KeepEntry(StrictModel):
    """A value for later steps: found at a path (``from``), in a map that grows by key (``by``, ``value``), or in a list
    or a map that grows (``add``). ``match`` and ``as`` read text."""

    source: Line | None = Field(default=None, alias="from")
    by: Line | None = None
    value: Line | None = None
    add: Line | None = None
    key: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20](?:[^\x00-\x1f]{0,98}[^\x00-\x20])?$")] | None = None
    match: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    as_type: Literal["number", "integer", "text"] | None = Field(default=None, alias="as")

    @model_validator(mode="after")
    def _one_form(self) -> KeepEntry:
        forms = [form for form in (self.source, self.by, self.add) if form is not None]
        if len(forms) != 1:
            raise ValueError("expected one of `from: PATH`, `{by: PATH, value: PATH}` and `{add: PATH}`")
        if (self.by is None) is not (self.value is None):
            raise ValueError("`by: PATH` (the key) and `value: PATH` (what stands there) belong together")
        if self.key is not None and self.add is None:
            raise ValueError("`key` belongs to `add`: the field by which two elements are the same one")
        return self

    @property
    def path(self) -> str:
        """Where the value is found."""
        return self.source or self.value or self.add or ""


def _as_keep(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


Keep: TypeAlias = Annotated[KeepEntry, BeforeValidator(_as_keep, json_schema_input_type=str | KeepEntry)]
