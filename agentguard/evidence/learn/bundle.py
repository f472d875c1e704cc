"""A draft as a folder: the workflow that was learnt, beside the tools, places and trust that it was learnt under."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from agentguard.core.policy import Workflow
from agentguard.core.values import Json, Sensitivity, ToolEffect, Unavailable
from agentguard.destinations import derive
from agentguard.errors import ConfigurationError
from agentguard.evidence.draft.effects import guessed_effect
from agentguard.evidence.draft.places import places_of
from agentguard.evidence.draft.words import is_secret
from agentguard.evidence.learn.arguments import type_of
from agentguard.evidence.learn.draft import learn
from agentguard.evidence.learn.held_back import HeldBack, try_out
from agentguard.evidence.learn.learnt import LearntWorkflow, Reach, Tooling
from agentguard.evidence.learn.write import Head, of, tools_yaml, trust_yaml, workflow_yaml
from agentguard.evidence.sample import rank
from agentguard.evidence.traffic import PastCall, PastRun
from agentguard.guard.in_force import UsableBundle
from agentguard.policy.yaml.files import list_files, read_file
from agentguard.policy.yaml.parse import parse

REVIEW_WITHIN = timedelta(days=90)
# Fewer than these say nothing, and of fewer than these none is held back.
FEWEST_RUNS, FEWEST_TO_HOLD_BACK = 3, 10
# Values of one argument of which the type is looked at, to guess whether it names a place.
_MOST_LOOKED_AT = 100
_NEXT = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be drafted: the workflow's name, whose it is, who is asked, and how many runs are held back.

    ``owner``, ``approvers``: none where nobody said it; those of the bundle's workflow of that name are taken then.
    """

    name: str
    owner: str | None
    approvers: Sequence[str]
    subjects: Sequence[str]
    hold_back: float
    today: date


@dataclass(frozen=True, slots=True)
class Drafted:
    """What came of it. ``held_back`` None: there were too few runs to hold any back."""

    folder: Path
    workflow: LearntWorkflow
    held_back: HeldBack | None


Load = Callable[[Path], UsableBundle]


def split(runs: Sequence[PastRun], share: float) -> tuple[list[PastRun], list[PastRun]]:
    """The runs that are learnt from, and those that are held back: by a number that nobody who made a run chose."""
    if len(runs) < FEWEST_TO_HOLD_BACK or share <= 0:
        return list(runs), []
    by_rank = sorted(runs, key=lambda run: (rank(f"held back {run.id}"), run.id))
    number = max(1, round(share * len(runs)))
    held = {id(run) for run in by_rank[:number]}
    return [run for run in runs if id(run) not in held], [run for run in runs if id(run) in held]


def check_free(out: Path) -> None:
    """Raises ConfigurationError where something is in the way, before anything is read."""
    try:
        taken = out.exists() or out.is_symlink()
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise ConfigurationError(f"`{out}` cannot be written: `{above}` takes no new folder; name another")
    except OSError as error:
        raise ConfigurationError(f"`{out}` cannot be written ({error.strerror}); name another folder") from None
    if taken:
        raise ConfigurationError(f"`{out}` is there already; name a folder that is not, nothing is overwritten")


def draft(runs: Sequence[PastRun], base: UsableBundle | None, out: Path, wanted: Wanted, load: Load) -> Drafted:
    """Write a draft to a new folder, and try it out. Raises ConfigurationError and PolicyError; then there is none."""
    if len(runs) < FEWEST_RUNS:
        raise ConfigurationError(
            f"{of(len(runs), 'run')} of `{wanted.name}` {'was' if len(runs) == 1 else 'were'} found; "
            f"expected {FEWEST_RUNS} or more to learn from"
        )
    check_free(out)
    learnt_from, held = split(runs, wanted.hold_back)
    tools = _undeclared(runs) if base is None else _tooling(base)
    inputs = _inputs(base, wanted.name, runs)
    learnt = learn(
        learnt_from, tools, lambda call: None if base is None else _reach(base, call), inputs, _names(base, wanted.name)
    )
    if not learnt.steps:
        raise ConfigurationError(
            "no tool was called often enough to make a step of it; see `--json` for what was left out"
        )
    known = None if base is None else base.bundle.policy.workflows.get(wanted.name)
    try:
        out.mkdir(parents=True)
        _write(out, base, learnt, runs, wanted, known, inputs)
        usable = load(out)
        tried = try_out(usable, wanted.name, held) if held else None
    except BaseException as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError):
            raise ConfigurationError(
                f"`{out}` cannot be written ({error.strerror}); name a folder that you may write to"
            ) from None
        raise
    return Drafted(out, learnt, tried)


def _write(
    out: Path,
    base: UsableBundle | None,
    learnt: LearntWorkflow,
    runs: Sequence[PastRun],
    wanted: Wanted,
    known: Workflow | None,
    inputs: Mapping[str, Any],
) -> None:
    subjects = sorted(known.subjects) if known is not None else _subjects(runs, wanted)
    version = 1 if known is None else known.version + 1
    owner, approvers = _whose(base, wanted)
    head = Head(wanted.name, version, owner, wanted.today + REVIEW_WITHIN, subjects, inputs, approvers)
    if base is None:
        guessed = _undeclared(runs)
        (out / "tools.yaml").write_text(tools_yaml({step.tool: guessed[step.tool] for step in learnt.steps}), "utf-8")
        (out / "trust.yaml").write_text(trust_yaml(subjects), "utf-8")
    else:
        _copy(base, out, wanted.name)
    name = f"{wanted.name}.yaml"
    if (out / name).exists():
        name = f"{wanted.name}-draft.yaml"
    (out / name).write_text(workflow_yaml(learnt, head), "utf-8")


def _names(base: UsableBundle | None, workflow: str) -> dict[str, str]:
    """What the bundle's workflow calls the step of each tool, where it has one step for it."""
    known = None if base is None else base.bundle.policy.workflows.get(workflow)
    steps = {} if known is None else known.steps_by_tool
    return {tool: found[0].name for tool, found in steps.items() if len(found) == 1}


def _whose(base: UsableBundle | None, wanted: Wanted) -> tuple[str, list[str]]:
    """Whose workflow it is and who is asked: what was said, or what the bundle's workflow of that name says."""
    full = None if base is None else base.bundle.full.get(wanted.name)
    written: Mapping[str, Any] = {} if full is None else full.content
    asked = [
        person
        for step in ({} if full is None else full.steps).values()
        if isinstance(step, Mapping) and isinstance(step.get("approval"), Mapping)
        for person in step["approval"].get("from") or ()
    ]
    owner = wanted.owner or (written.get("metadata") or {}).get("owner") or "nobody-yet"
    return str(owner), [*wanted.approvers] or [*dict.fromkeys(map(str, asked))] or ["anyone"]


def _copy(base: UsableBundle, out: Path, without: str) -> None:
    """The files of the bundle, without the workflow of that name."""
    folder = base.bundle.directory
    for name in list_files(folder).names:
        raw = read_file(folder, name)
        if isinstance(raw, str):
            raise ConfigurationError(f"`{folder / name}` {raw}")
        parts = _NEXT.split(raw.decode("utf-8"))
        kept = [part for part in parts if not _is_workflow(part, without)]
        text = "---".join(kept) if len(kept) == len(parts) else "---\n".join(part.lstrip("\n") for part in kept)
        if text.strip():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, "utf-8")
    for trust in (*base.bundle.issuers, *base.bundle.streams):
        keys = getattr(trust, "keys_file", None)
        if keys is not None and (folder / keys).is_file() and not (out / keys).exists():
            (out / keys).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / keys, out / keys)


def _is_workflow(text: str, name: str) -> bool:
    documents, _ = parse(text.encode())
    return any(
        isinstance(found.data, dict)
        and found.data.get("kind") == "Workflow"
        and isinstance(metadata := found.data.get("metadata"), dict)
        and metadata.get("name") == name
        for found in documents
    )


def _subjects(runs: Sequence[PastRun], wanted: Wanted) -> list[str]:
    found = sorted({run.subject for run in runs if run.subject} | {*wanted.subjects})
    return found or [f"spiffe://corp.example/agent/{wanted.name}"]


def _inputs(base: UsableBundle | None, name: str, runs: Sequence[PastRun]) -> Mapping[str, Any]:
    full = None if base is None else base.bundle.full.get(name)
    if full is not None and isinstance(full.content.get("inputs"), dict):
        return dict(full.content["inputs"])
    given: dict[str, list[Json]] = {}
    for run in runs:
        for key, value in (run.inputs or {}).items():
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", key) is not None:
                given.setdefault(key, []).append(value)
    known = [run for run in runs if run.inputs is not None]
    return {
        key: {**type_of(values), **({"optional": True} if len(values) < len(known) else {})}
        for key, values in sorted(given.items())
    }


def _tooling(base: UsableBundle) -> dict[str, Tooling]:
    return {
        name: Tooling(
            effect=tool.effect,
            secrets=frozenset(_root(path) for path in (*tool.secrets, *tool.personal)),
            places=frozenset(_root(place.argument) for place in tool.destinations if place.argument is not None),
            has_places=bool(tool.destinations),
        )
        for name, tool in base.bundle.tools.items()
    }


def _undeclared(runs: Sequence[PastRun]) -> dict[str, Tooling]:
    """Tools of which nobody has said what they do: as `agentguard init` would guess it from their names."""
    given: dict[str, dict[str, list[Json]]] = {}
    for call in (call for run in runs for call in run.calls):
        of_tool = given.setdefault(call.tool, {})
        for name, value in call.arguments.items():
            of_tool.setdefault(name, []).append(value)
    return {tool: _guessed(tool, arguments) for tool, arguments in sorted(given.items())}


def _guessed(tool: str, arguments: Mapping[str, Sequence[Json]]) -> Tooling:
    guess = guessed_effect(tool)
    return Tooling(
        ToolEffect(guess.effect),
        secrets=frozenset(name for name in arguments if is_secret(name)),
        # Whatever the dialect is: an argument that holds SQL names places.
        places=frozenset(
            name
            for name, values in arguments.items()
            if any(places_of(tool, name, type_of(values[:_MOST_LOOKED_AT]), optional=False, dialect="postgres"))
        ),
        guess=guess.why,
    )


def _root(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _reach(base: UsableBundle, call: PastCall) -> Reach | None:
    declared = base.bundle.tools[call.tool].destinations
    if not declared or call.hidden:
        return None
    places = derive(declared, dict(call.arguments), base.catalog)
    if isinstance(places, Unavailable):
        return None
    levels: list[Sensitivity] = [place.sensitivity for place in places if place.sensitivity is not None]
    return Reach(max(levels, default=None), sum(place.sensitivity is None for place in places))
