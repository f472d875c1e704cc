"""One tool call as the guard asks about it, and the digest that stands for it everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentguard.core.canonical import canonical_bytes, commitment, sha256
from agentguard.core.sealed import sealed


@sealed
@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: this tool, with these arguments, in this run.

    ``in_order`` are the bytes that the tool's values are read from, with members in the order in which they were given;
    ``canonical`` (RFC 8785) are the same values in one form. ``arguments`` is what was re-read from those, each
    destination in the spelling in which it is compared; nobody may change it.
    ``digest`` covers the run, the workflow, the tool, its definition and the arguments in both forms: an approval, a
    proof or a permit for one digest is for nothing else. The digest is known to everybody who reads records, so the
    arguments are in it under the run's ``salt``: who does not have that cannot search it for a short secret.
    ``steps``: where steps of the tool fill arguments in different ways, those under which these are the call's; None:
    all.
    """

    run_id: str
    workflow: str
    tool: str
    canonical: bytes
    arguments: Mapping[str, Any]
    digest: str
    in_order: bytes
    call_id: str | None = None
    steps: frozenset[str] | None = None

    @classmethod
    def make(
        cls,
        *,
        run_id: str,
        workflow: str,
        tool: str,
        canonical: bytes,
        arguments: Mapping[str, Any],
        definition: str | None,
        salt: str,
        in_order: bytes | None = None,
        call_id: str | None = None,
        steps: frozenset[str] | None = None,
    ) -> Request:
        """Compute the digest. ``canonical`` must be canonical already; ``in_order`` is None where it is the same."""
        in_order = canonical if in_order is None else in_order
        committed = commitment(salt, canonical).encode()
        in_order_committed = committed if in_order == canonical else commitment(salt, in_order).encode()
        rest = _after_arguments(definition, run_id, tool, workflow)
        covered = b'{"arguments":"%b","arguments_in_order":"%b",%b' % (committed, in_order_committed, rest)
        digest = sha256(covered)
        return cls(run_id, workflow, tool, canonical, arguments, digest, in_order, call_id, steps)


@lru_cache(maxsize=4096)
def _after_arguments(definition: str | None, run_id: str, tool: str, workflow: str) -> bytes:
    """What a digest covers beside the arguments, canonical (RFC 8785): the same for each call of a tool in a run."""
    covered = {"definition": definition, "run": run_id, "tool": tool, "v": 2, "workflow": workflow}
    return canonical_bytes(covered)[1:]
