"""What keeps a ledger from holding what it promises, and what its records say of the first permitted call."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agentguard.evidence.doctor.finding import Finding, Severity
from agentguard.guard import Operations
from agentguard.guard.gate import LOGGED
from agentguard.guard.operations import Whereabouts
from agentguard.ledger import RecordFilter
from agentguard.policy import Bundle

_MOUNTS = Path("/proc/self/mountinfo")
# Locks and syncs do not mean there what a ledger needs: two hosts, or a cut power, and records are lost.
_NETWORK = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "9p",
            "ceph",
            "afs",
            "lustre",
            "glusterfs",
            "beegfs",
            "gpfs",
            "ocfs2",
        ),
        *(
            "fuse.sshfs",
            "fuse.glusterfs",
            "fuse.s3fs",
            "fuse.rclone",
            "fuse.gcsfuse",
            "fuse.blobfuse2",
            "davfs",
            "virtiofs",
        ),
    )
)
_LOST_AT_RESTART = frozenset({"tmpfs", "ramfs"})
# Older wraps than this many records ago are those of a program that runs no more.
_MOST_RECORDS = 100_000
_MOST_NAMED = 10


def file_findings(path: Path, mounts: str | None = None) -> Iterator[Finding]:
    """Where the ledger's file stands, and who else may read and change it. ``mounts``: of the system, if not given."""
    where = str(path)
    kind = filesystem(
        path, _MOUNTS.read_text("utf-8", "replace") if mounts is None and _MOUNTS.exists() else mounts or ""
    )
    if kind in _NETWORK:
        yield Finding(
            Severity.WEAK,
            f"the ledger stands on a network file system ({kind})",
            where,
            "move it to a local disk: pass `home=` or `ledger=`, or set AGENTGUARD_HOME",
        )
    elif kind in _LOST_AT_RESTART:
        yield Finding(
            Severity.WEAK,
            f"the ledger stands in memory ({kind}) and is gone after a restart",
            where,
            "move it to a disk: pass `home=` or `ledger=`, or set AGENTGUARD_HOME",
        )
    for each in (path, *_keys(path)):
        yield from _permissions(each)
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    if mode & 0o002 and not mode & stat.S_ISVTX:
        yield Finding(
            Severity.WEAK,
            f"anybody may replace the ledger: its folder has the mode {mode:04o}",
            str(path.parent),
            f"chmod o-w {path.parent}",
        )


def _keys(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.glob("*.key") if each.is_file())


def _permissions(path: Path) -> Iterator[Finding]:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o007:
        yield Finding(Severity.WEAK, f"other users can open it (mode {mode:04o})", str(path), f"chmod o-rwx {path}")
    elif mode & 0o070:
        yield Finding(
            Severity.NOTE,
            f"its group can open it (mode {mode:04o})",
            str(path),
            f"chmod g-rwx {path}, unless several users share the ledger",
        )
    if status.st_uid != os.geteuid():
        yield Finding(
            Severity.NOTE,
            f"it belongs to another user (uid {status.st_uid})",
            str(path),
            "run doctor as the user that runs the agent",
        )


def filesystem(path: Path, mounts: str) -> str:
    """The type of the file system that a path stands on; empty where it is not known."""
    place = str(path.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5 or not after:
            continue
        mounted = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = mounted in ("/", place) or place.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):
            best, kind = mounted, after.split()[0]
    return kind


def record_findings(operations: Operations, bundle: Bundle | None, path: Path) -> Iterator[Finding]:
    """Which tools were wrapped, where the records go, and whether a call has been permitted."""
    where = str(path)
    newest = next(iter(operations.records(limit=1, newest=True)), None)
    after = 0 if newest is None else max(0, int(newest["seq"]) - _MOST_RECORDS)
    wrapped: dict[str, str] = {}
    for one in operations.records(RecordFilter(kind="canary"), after=after):
        wrapped[str(one["tool"])] = str(one["why"])
    if not wrapped:
        yield Finding(
            Severity.BLOCKED,
            "no tool was wrapped by a guard that uses this ledger",
            where,
            "call `guard.wrap(tools)`, and give the agent what it returns",
        )
    elif bundle is not None:
        yield from _unwrapped(sorted(bundle.tools.keys() - wrapped.keys()), bundle)
    if wrapped and not [*wrapped.values()][-1].endswith(LOGGED):
        yield Finding(
            Severity.WEAK,
            "records go to no log: whoever can change the ledger's file has the only copy",
            where,
            "load the guard with `log=True` or a file, and collect it elsewhere",
        )
    yield from _over(operations, where)
    yield from _first_permit(operations, after, where)


def _over(operations: Operations, where: str) -> Iterator[Finding]:
    """Runs that permit nothing any more, and that nobody has ended."""
    found = [run for run, place in operations.whereabouts().items() if place is Whereabouts.OVER]
    if found:
        some = ", ".join(f"`{run}`" for run in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        what = "longer than their workflow says, or are idle for longer, and were not ended"
        yield Finding(Severity.NOTE, f"runs that last {what}: {some}{more}", where, "agentguard runs sweep")


def _unwrapped(names: list[str], bundle: Bundle) -> Iterator[Finding]:
    if names:
        some = ", ".join(f"`{name}`" for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield Finding(
            Severity.WEAK,
            f"wrapped nowhere: {some}{more}; if the agent has them, they are not guarded",
            str(bundle.directory),
            "wrap them, or take them out of `Tools`",
        )


def _first_permit(operations: Operations, after: int, where: str) -> Iterator[Finding]:
    """Nothing where a call was permitted; else how far it came."""
    decisions = operations.records(RecordFilter(kind="decision"), after=after, newest=True)
    last = None
    for one in decisions:
        last = last or one
        if one["effect"] == "permit":
            return
    if last is None:
        yield Finding(
            Severity.BLOCKED,
            "no call was decided yet",
            where,
            "call a wrapped tool inside `with guard.run(WORKFLOW, inputs=...):`",
        )
    else:
        reasons = ", ".join(map(str, last["reasons"])) or str(last["effect"])
        yield Finding(
            Severity.BLOCKED,
            f"no call was permitted yet; the last was refused: {reasons}",
            where,
            f"agentguard explain --decision {last['decision_id']}",
        )
