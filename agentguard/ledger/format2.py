"""The ledger as it was in format 2: tables of state beside the records. Read only, to be carried over (``upgrade``)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from agentguard.core.canonical import commitment
from agentguard.core.facts import RunStatus
from agentguard.core.people import who
from agentguard.core.provenance import NOTHING_SEEN, Mark, Seen
from agentguard.core.values import Json
from agentguard.jose.nonce import nonce
from agentguard.ledger import cells
from agentguard.ledger.cells import (
    ApprovalCell,
    AskedCell,
    CallCell,
    Cell,
    ContactsCell,
    CredentialCell,
    MarkCell,
    RunCell,
    SaidCell,
    SpendCell,
    StreamCell,
    Word,
    name,
)
from agentguard.ledger.log import Key, Row

Found: TypeAlias = "Iterator[tuple[Key, Cell]]"

_DIGEST = 32
_RECORDS = """
SELECT seq, time, kind, run_id, subject, tool, effect, decision_id, reasons, body FROM records ORDER BY seq"""
_STARTS = "SELECT run_id, min(seq) FROM records WHERE kind = 'run' AND run_id IS NOT NULL GROUP BY run_id"
_RUNS = """
SELECT r.n, r.id, r.workflow, r.workflow_digest, r.subject, r.requester, r.started_at, s.version, s.status, s.risk,
       s.high_water, s.counts, s.succeeded, s.spent, s.zones
FROM runs AS r JOIN run_states AS s ON s.n = r.n ORDER BY r.n"""
# What a state that only some builds of the format could know means where it is read: the worst of two.
_WORST = {"active": 0, "rotated": 1, "revoked": 2}


class Format2:
    """One ledger of format 2, open for nobody else."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def count(self, table: str) -> int:
        """How many rows a table of the format has."""
        return int(self._one(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name from this file and `upgrade`

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Every record, byte for byte, with its number."""
        for seq, *columns in self._database.execute(_RECORDS):
            yield seq, Row._make((*columns, None))

    def cells(self) -> Found:
        """Everything that the tables of state say, as cells."""
        for run_id, run in self.runs():
            yield (cells.RUN, run_id), run
        yield from self._calls()
        yield from self._said()
        yield from self._contacts()
        yield from self._approvals()
        yield from self._once()
        states: dict[str, str] = {}
        for credential, state in self._database.execute("SELECT name, state FROM credentials"):
            meant = who(credential)
            states[meant] = max(state, states.get(meant, "active"), key=lambda word: _WORST.get(word, 2))
        for credential, state in states.items():
            yield (cells.CREDENTIAL, credential), CredentialCell(state)
        for stream, heard_at, status in self._database.execute("SELECT name, heard_at, status FROM streams"):
            yield (cells.STREAM, stream), StreamCell(heard_at, status)
        for n, workflow, budget, at, amount in self._database.execute("SELECT * FROM spends"):
            yield (cells.SPEND, name(f"format2:{n}", budget)), SpendCell(name(workflow, budget), at, amount)

    def runs(self) -> Iterator[tuple[str, RunCell]]:
        """Every run. The salt of its request digests is new: what waits for a person is asked again."""
        starts = dict(self._database.execute(_STARTS).fetchall())
        open_calls = self._open_calls_of()
        for n, run_id, *rest in self._database.execute(_RUNS):
            workflow, digest, subject, requester, started, version, status, risk, water, *more = rest
            counts, succeeded, spent, zones = map(json.loads, more)
            values: dict[str, dict[str, Json]] = {"input": {}, "kept": {}}
            for kind, known_as, raw in self._all("SELECT kind, name, value FROM run_values WHERE n = ?", n):
                values[kind][known_as] = json.loads(raw)
            active = status == RunStatus.ACTIVE
            yield run_id, RunCell(
                starts.get(run_id, n), workflow, digest, subject, requester, started, version, status, risk, water,
                counts, frozenset(succeeded), spent, frozenset(zones), values["input"], values["kept"],
                self._happened(n) if active else {}, self._seen(n) if active else NOTHING_SEEN,
                frozenset(open_calls.get(run_id, ())), nonce(), None,
            )  # fmt: skip

    def open_calls(self) -> Iterator[tuple[int, str, str, str]]:
        """(number of its decision, decision, run, step) of every call without an outcome."""
        yield from self._database.execute("SELECT seq, decision_id, run_id, step FROM open_calls ORDER BY seq")

    def worst_risk(self, run_id: str, subject: str, requester: str | None) -> int:
        """The highest risk that any source says of a run, as the format itself looked it up."""
        person = None if requester is None else f"user:{requester.removeprefix('user:')}"
        return int(
            self._one(
                "SELECT coalesce(max(risk), 0) FROM standings WHERE (kind = 'party' AND about IN (?, ?, ?))"
                " OR (kind = 'run' AND about = ?)",
                subject, requester, person, run_id,
            )
        )  # fmt: skip

    def suspended(self, subject: str) -> bool:
        """Whether a subject is suspended, as the format itself looked it up."""
        return bool(self._one("SELECT coalesce(max(suspended), 0) FROM subjects WHERE subject = ?", subject))

    def _open_calls_of(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for _, decision_id, run_id, _ in self.open_calls():
            found.setdefault(run_id, []).append(decision_id)
        return found

    def _calls(self) -> Found:
        """Whoever made them is gone, so nobody knows how they ended. What their steps keep was not written down: all
        that the run has kept is in doubt, should one be said to have succeeded."""
        kept = "SELECT v.name FROM run_values AS v JOIN runs AS r ON r.n = v.n WHERE r.id = ? AND v.kind = 'kept'"
        for seq, decision_id, run_id, step in self.open_calls():
            keeps = tuple(sorted(known_as for (known_as,) in self._all(kept, run_id)))
            yield (cells.UNSETTLED, decision_id), CallCell(seq, run_id, step, "", keeps)

    def _happened(self, n: int) -> dict[str, tuple[tuple[int, None], ...]]:
        found: dict[str, tuple[tuple[int, None], ...]] = {}
        for what, at in self._all("SELECT what, at FROM happenings WHERE n = ? ORDER BY at, seq", n):
            found[what] = (*found.get(what, ()), (at, None))
        return found

    def _seen(self, n: int) -> Seen:
        marks = []
        for source, place, raw, text in self._all("SELECT source, place, digests, text FROM marks WHERE n = ?", n):
            if not source:
                return Seen((), True)
            marks.append(Mark(source, place, frozenset(_cut(raw)), text))
        return Seen(tuple(marks)) if marks else NOTHING_SEEN

    def _said(self) -> Found:
        found: dict[tuple[str, str], SaidCell] = {}
        for kind, about, source, *word in self._database.execute("SELECT * FROM standings"):
            key = (kind, about if kind == "run" else who(about))
            said = found.get(key, SaidCell(1, {}))
            both = _worse(said.words.get(source, Word()), Word(*word))
            found[key] = said._replace(words={**said.words, source: both})
        for subject, suspended in self._database.execute("SELECT subject, suspended FROM subjects"):
            key = ("party", who(subject))
            said = found.get(key, SaidCell(1, {}))
            found[key] = said._replace(suspended=said.suspended or bool(suspended))
        for (kind, about), said in found.items():
            yield (cells.SAID, name(kind, about)), said

    def _contacts(self) -> Found:
        zones: dict[str, set[str]] = {}
        salts: dict[str, str] = {}
        for subject, kind, value in self._database.execute("SELECT subject, kind, value FROM contacts"):
            known, mark = zones.setdefault(subject, set()), value
            if kind == "zone":
                known.add(value)
            else:
                mark = commitment(salts.setdefault(subject, nonce()), value.encode())
            yield (cells.REACHED, name(subject, kind, mark)), MarkCell()
        for subject, known in zones.items():
            yield (cells.CONTACTS, subject), ContactsCell(1, frozenset(known), salts.get(subject, ""))

    def _approvals(self) -> Found:
        asked: dict[str, tuple[str, ...]] = {}
        rows = self._database.execute(
            "SELECT n, id, request_digest, policy_revision, run_id, requested_at, expires_at, body, consumed"
            " FROM approvals ORDER BY n"
        )
        for n, approval_id, digest, revision, run_id, requested, expires, body, consumed in rows:
            given = self._all("SELECT approver, approve, at FROM answers WHERE approval = ? ORDER BY rowid", n)
            answers = tuple((approver, bool(approve), at) for approver, approve, at in given)
            asked[digest] = (*asked.get(digest, ()), approval_id)
            yield (
                (cells.APPROVAL, approval_id),
                ApprovalCell(n, digest, revision, run_id, requested, expires, *_asked(body), answers, bool(consumed)),
            )
        for digest, ids in asked.items():
            yield (cells.ASKED, digest), AskedCell(ids)

    def _once(self) -> Found:
        """What happens once. A signal was heard whichever stream brought it: that was not written down."""
        for key, until in self._database.execute("SELECT key, until FROM assertions"):
            yield (cells.USED, key.hex()), MarkCell(until)
        streams = ["", *(stream for (stream,) in self._database.execute("SELECT name FROM streams").fetchall())]
        for (key,) in self._database.execute("SELECT key FROM heard"):
            for stream in streams:
                yield (cells.HEARD, name(key.hex(), stream)), MarkCell()

    def _all(self, statement: str, *bound: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, bound).fetchall()

    def _one(self, statement: str, *bound: Any) -> Any:
        return self._database.execute(statement, bound).fetchone()[0]


_PUBLIC = ("workflow", "step", "tool", "subject", "requester", "approvers", "quorum")


def _asked(body: str) -> tuple[dict[str, Json], Any]:
    """What everybody may know of a request, and what approvers were shown."""
    asked = json.loads(body)
    return {key: asked[key] for key in _PUBLIC}, asked["shown"]


def _cut(raw: bytes) -> Iterator[bytes]:
    return (raw[at : at + _DIGEST] for at in range(0, len(raw), _DIGEST))


def _worse(one: Word, other: Word) -> Word:
    """What one source says of two spellings of one name: the worse of both."""
    pairs = zip(one, other, strict=True)
    return Word(*(max((value for value in pair if value is not None), default=None) for pair in pairs))
