"""Load a policy bundle: one directory of YAML files, all of it or nothing, under one revision.

Everything that reads YAML or compiles a condition is imported from here, and this only when a bundle is loaded.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from agentguard.core.canonical import NotCanonical, canonical_bytes, sha256
from agentguard.core.declarations import ConsoleTrust, Observe
from agentguard.core.policy import Policy
from agentguard.errors import PolicyError, PolicyProblem
from agentguard.policy.bundle import Bundle
from agentguard.policy.check import check
from agentguard.policy.compile.destinations import add_destinations, check_zones
from agentguard.policy.compile.included import add_steps, in_full, unused
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.compile.tools import add_tools, core_tools
from agentguard.policy.compile.trust import add_trust, console, core_streams, observed
from agentguard.policy.compile.workflow import add_workflow, expect_workflow
from agentguard.policy.models import KINDS
from agentguard.policy.words import expected, listed, shown
from agentguard.policy.yaml.files import list_files, read_file
from agentguard.policy.yaml.parse import Document, Trouble, parse

# Past this many, more problems help nobody.
MAX_PROBLEMS = 200


# What stands in one file: its documents and what is wrong with it, or why it cannot be read.
ReadFile: TypeAlias = "Callable[[str], tuple[list[Document], list[Trouble]] | str]"


def load(
    directory: str | Path,
    *,
    on_file: Callable[[int, int], None] | None = None,
    read: ReadFile | None = None,
) -> Bundle:
    """Load the bundle in a directory. ``on_file`` hears (files done, files in all). ``read`` reads a file by its name.

    Raises PolicyError with every problem: file, line, what was found, and what was expected.
    """
    place = Path(directory)
    loader = _Loader(place, on_file, read or (lambda name: read_documents(place, name)))
    with _uncollected():
        return loader.load()


@contextmanager
def _uncollected() -> Iterator[None]:
    """All that a load makes stays. The collector would look through it again and again: a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_documents(directory: Path, name: str) -> tuple[list[Document], list[Trouble]] | str:
    """What stands in one file of a bundle."""
    raw = read_file(directory, name)
    return raw if isinstance(raw, str) else parse(raw)


class _Loader:
    """One load, from the directory to the bundle."""

    def __init__(self, directory: Path, on_file: Callable[[int, int], None] | None, read: ReadFile) -> None:
        self.directory = directory
        self.on_file = on_file
        self.read = read
        self.parts = Parts()
        self.written: dict[str, list[Written]] = {kind: [] for kind in KINDS}
        self.broken: set[str] = set()
        self.observed: Mapping[str, Observe] = {}
        self.console: ConsoleTrust | None = None

    def load(self) -> Bundle:
        listing = list_files(self.directory)
        self.parts.problems.extend(listing.problems)
        for done, name in enumerate(listing.names, 1):
            self._read(name)
            if self.on_file is not None:
                self.on_file(done, len(listing.names))
        if not listing.problems and not listing.names:
            self._say(self.directory, 0, "holds no policy files; expected files whose names end in .yaml")
        self._compile()
        if not self.parts.problems and not self.parts.workflows:
            self._say(
                self.directory, 0, "holds no workflow, so nothing would ever be permitted; expected `kind: Workflow`"
            )
        if self.parts.problems:
            raise PolicyError(_in_order(self.parts.told(self.parts.problems)))
        return self._bundle(listing.names)

    def _say(self, file: Path, line: int, message: str) -> None:
        self.parts.problems.append(PolicyProblem(str(file), line, message))

    def _read(self, name: str) -> None:
        path = self.directory / name
        found = self.read(name)
        if isinstance(found, str):
            self._say(path, 0, found)
            self.broken.update(KINDS)
            return
        documents, troubles = found
        for line, message in troubles:
            self._say(path, line, message)
        if not documents and not troubles:
            self._say(path, 0, "is empty; remove it, or begin with `apiVersion: agentguard/v1` and `kind: ...`")
        for document in documents:
            kind = self._kind(path, document, quiet=bool(troubles))
            if troubles or kind is None:
                # Others may refer to what this document holds, so what they refer to cannot be judged.
                self.broken.update([kind] if kind is not None else KINDS)
            else:
                self._model(path, document, kind)

    def _kind(self, path: Path, document: Document, *, quiet: bool) -> str | None:
        data = document.data
        if not isinstance(data, dict):
            if not quiet:
                self._say(
                    path, document.line(), "expected `apiVersion: agentguard/v1`, `kind: ...` and what the kind holds"
                )
            return None
        kind = data.get("kind")
        if isinstance(kind, str) and kind in KINDS:
            return kind
        if not quiet and "kind" not in data:
            self._say(path, document.line(), f"`kind` is missing; expected {listed(KINDS)}")
        elif not quiet:
            self._say(path, document.line("kind"), f"there is no kind {shown(kind)}; {expected(str(kind), KINDS)}")
        return None

    def _model(self, path: Path, document: Document, kind: str) -> None:
        model, troubles = check(KINDS[kind], document.data)
        for where, message in troubles:
            self._say(path, document.line(*where), message)
        if model is None:
            self.broken.add(kind)
            return
        try:
            digest = sha256(canonical_bytes(_with_order(document.data)))
        except NotCanonical as error:
            self._say(path, 0, f"cannot be hashed: {error}")
            self.broken.add(kind)
            return
        self.written[kind].append(Written(str(path), document, model, digest))

    def _compile(self) -> None:
        for written in self.written["Trust"]:
            add_trust(self.parts, written)
        if "Trust" not in self.broken:
            self.console = console(self.parts, self.written["Trust"])
        for written in self.written["Tools"]:
            add_tools(self.parts, written)
        for written in self.written["Destinations"]:
            add_destinations(self.parts, written)
        if "Destinations" not in self.broken:
            check_zones(self.parts, self.written["Destinations"], groups_known="Trust" not in self.broken)
        # With a broken file of another kind, every tool or group in it would be reported as missing again.
        if not self.broken - {"Workflow"}:
            for written in self.written["Steps"]:
                add_steps(self.parts, written)
            for written in self.written["Workflow"]:
                expect_workflow(written)
            for written in self.written["Workflow"]:
                add_workflow(self.parts, written)
            self.observed = observed(self.parts, self.written["Trust"]) if not self.broken else {}
            for written, message in unused(self.parts):
                self.parts.note(written.source("metadata", "name"), message)

    def _bundle(self, files: tuple[str, ...]) -> Bundle:
        parts = self.parts
        revision = _revision(written.digest for kind in self.written.values() for written in kind)
        policy = Policy(
            revision=revision,
            workflows=MappingProxyType(parts.workflows),
            tools=core_tools(parts),
            groups=MappingProxyType(parts.groups),
            zones=MappingProxyType(parts.zones),
            max_age_by_sensitivity=MappingProxyType(parts.freshness),
            assurance_by_sensitivity=MappingProxyType(parts.assurance),
            streams=core_streams(parts),
            risk_ceilings=MappingProxyType(parts.risk_ceilings),
        )
        return Bundle(
            directory=self.directory,
            revision=revision,
            policy=policy,
            workflows_inputs=MappingProxyType(parts.inputs),
            keeps=MappingProxyType(parts.keeps),
            tools=MappingProxyType(parts.tools),
            tool_by_alias=MappingProxyType(parts.tool_by_alias),
            issuers=tuple(parts.issuers.values()),
            streams=tuple(parts.streams.values()),
            catalog=tuple(parts.catalog),
            files=files,
            full=MappingProxyType({name: in_full(written) for name, written in parts.full.items()}),
            notes=tuple(_in_order(parts.told(parts.notes))),
            observed=self.observed,
            console=self.console,
        )


def _with_order(data: Any) -> Any:
    """The content, and the order of its steps: canonical JSON sorts keys, but the first step that fits is taken."""
    steps = data.get("steps")
    return [data, list(steps)] if isinstance(steps, dict) else [data]


def _revision(digests: Iterable[str]) -> str:
    """One hash over every document's content, whatever the files are called and in whatever order they are read."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _in_order(problems: list[PolicyProblem]) -> list[PolicyProblem]:
    ordered = sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.message))
    if len(ordered) > MAX_PROBLEMS:
        left = PolicyProblem("", 0, f"and {len(ordered) - MAX_PROBLEMS} more problems")
        ordered = [*ordered[:MAX_PROBLEMS], left]
    return ordered
