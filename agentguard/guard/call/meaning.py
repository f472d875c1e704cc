"""What those who are asked see beside the call: the values that an owner names, as far as they may be shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agentguard.core.canonical import canonical_bytes
from agentguard.core.facts import RunState
from agentguard.core.paths import Missing, Path, value_at
from agentguard.core.values import Json
from agentguard.guard.call.prepare import Call

# Nobody reads more before they answer, and a question is kept for as long as its run.
MAX_SHOWN_BYTES = 4_096


def meanings(show: Mapping[str, Path], call: Call, run: RunState) -> list[Json]:
    """One entry a label: its ``value``, or why there is ``none``. What the call hides is hidden here, too."""
    # Looked up by what was really given, also where a record may not hold that; what is hidden is taken out afterwards.
    roots: dict[str, Any] = {"args": dict(call.request.arguments)}
    if "inputs" not in run.erased:
        roots["inputs"] = run.inputs
    if not run.unsettled and "kept" not in run.erased:
        roots["kept"] = run.kept
    unsaid = call.told.unsaid_to_people
    return [{"label": label, **_shown(value_at(path, roots), unsaid)} for label, path in show.items()]


def _shown(value: Any, unsaid: Callable[[str], str]) -> dict[str, Json]:
    if isinstance(value, Missing):
        return {"none": value.detail}
    size = len(canonical_bytes(value))
    if size > MAX_SHOWN_BYTES:
        return {"none": f"{size} bytes are too long to be shown; at most {MAX_SHOWN_BYTES} are"}
    return {"value": _said(value, unsaid)}


def _said(value: Json, unsaid: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return unsaid(value)
    if isinstance(value, dict):
        return {unsaid(key): _said(item, unsaid) for key, item in value.items()}
    if isinstance(value, list):
        return [_said(item, unsaid) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = json.dumps(value)
        said = unsaid(text)
        return value if said == text else said
    return value
