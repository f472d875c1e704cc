"""What it costs to say where a call goes: each kind, from an argument to its sensitivity, and to a refusal.

No value comes twice, so that nothing is answered out of a cache, and the catalog has 10,000 entries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.values import Json, Sensitivity, Unavailable
from agentguard.destinations import Catalog, derive
from benchmarks.measure import Effort, Tick, percentile

ENTRIES = 10_000
HERE = Source("benchmark.yaml", 1)

SELECT = (
    "select o.id, c.name, sum(l.price * l.quantity) as total from sales.orders o join sales.customers c on c.id = "
    "o.customer_id left join sales.lines_{0} l on l.order_id = o.id where o.created_at > '2026-01-01' "
    "group by o.id, c.name"
)
IBANS = [
    f"DE{98 - int(f'37040044{number:010d}131400') % 97:02d}37040044{number:010d}"
    for number in range(532_013_000, 532_033_000)
]
# A value that is read, one that is refused (`{0}` is a number that never comes again), and the options.
KINDS: Mapping[str, tuple[Callable[[int], Json], Callable[[int], Json], dict[str, Json]]] = {
    "channel": (lambda n: f"#team-{n}", lambda n: f"#team {n}", {"service": "slack"}),
    "command": (lambda n: ["git", "log", f"-{n}"], lambda n: ["sh", "-c", f"echo {n}"], {}),
    "dsn": (
        lambda n: f"postgresql://app:pw@db-{n}.example.com/sales",
        lambda n: f"postgresql://app@db-{n}.example.com/sales?service=other",
        {},
    ),
    "email": (lambda n: f"user-{n}@example.com", lambda n: f'"user {n}"@example.com', {}),
    "git": (lambda n: f"git@github.com:example/repo-{n}.git", lambda n: f"ext::sh -c {n}", {}),
    "host": (lambda n: f"db-{n}.example.com:5432", lambda n: f"{n}", {}),
    "iban": (lambda n: IBANS[n % len(IBANS)], lambda n: f"DE00370400440{n:09d}", {}),
    "ip": (lambda n: f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", lambda n: f"0{n}.0.0.1", {}),
    "object": (
        lambda n: f"https://reports.s3.eu-west-1.amazonaws.com/2026/{n}.csv",
        lambda n: f"s3://reports/../{n}",
        {},
    ),
    "path": (lambda n: f"/srv/reports/2026/{n}.csv", lambda n: f"/srv/reports/../{n}", {"root": "/srv/reports"}),
    "pattern": (lambda n: f"queue-{n}", lambda n: f"QUEUE-{n}", {"name": "queue", "pattern": "[a-z]+-[0-9]+"}),
    "sql": (SELECT.format, lambda n: f"select pg_read_file('/etc/passwd-{n}')", {"dialect": "postgres"}),
    "url": (
        lambda n: f"https://api-{n}.example.com/reports/{n}?page=2",
        lambda n: f"https://api.example.com@evil-{n}.example/",
        {},
    ),
}


def measure(effort: Effort, folder: Path, tick: Tick) -> dict[str, Any]:
    """Microseconds a value, by kind: the middle and the slowest of a hundred, for an answer and for a refusal."""
    catalog = Catalog(
        [_entry(number) for number in range(ENTRIES)] + [_entry_of(kind, p) for kind, p in COVERING.items()]
    )
    found: dict[str, Any] = {}
    for kind, (good, bad, options) in KINDS.items():
        tick(f"destinations: {kind}")
        declarations = [DestinationDeclaration(kind, "to", None, options, False, HERE)]
        read = _times(declarations, good, catalog, effort, refused=False)
        refused = _times(declarations, bad, catalog, effort, refused=True)
        found[kind] = {
            "p50_us": percentile(read, 0.5), "p99_us": percentile(read, 0.99),
            "refused_p50_us": percentile(refused, 0.5), "refused_p99_us": percentile(refused, 0.99),
        }  # fmt: skip
    return found


COVERING = {
    "channel": "slack:*", "command": "git log *", "dsn": "postgresql://*.example.com/*", "email": "*@example.com",
    "git": "github.com/example/*", "host": "*.example.com", "iban": "DE*", "ip": "10.0.0.0/8",
    "object": "s3://reports/*", "path": "/srv/reports/*", "pattern": "queue:*", "sql": "postgres:sales.*",
    "url": "https://*.example.com/*",
}  # fmt: skip


def _entry(number: int) -> CatalogEntry:
    return _entry_of("url", f"https://host-{number}.example.com/reports/*")


def _entry_of(kind: str, pattern: str) -> CatalogEntry:
    promises = frozenset({"starts_nothing_else"} if kind == "command" else ())
    return CatalogEntry(kind, pattern, Sensitivity.INTERNAL, None, None, None, None, HERE, promises)


def _times(
    declarations: list[DestinationDeclaration],
    value: Callable[[int], Json],
    catalog: Catalog,
    effort: Effort,
    *,
    refused: bool,
) -> list[float]:
    """One time a value, in microseconds, after a few that load what is loaded on first use."""
    times: list[float] = []
    number, until = 0, time.perf_counter() + effort.seconds * effort.rounds
    while time.perf_counter() < until or len(times) < 100:
        number += 1
        arguments = {"to": value(number)}
        started = time.perf_counter_ns()
        found = derive(declarations, arguments, catalog)
        times.append((time.perf_counter_ns() - started) / 1000)
        places = () if isinstance(found, Unavailable) else found
        if isinstance(found, Unavailable) is not refused or any(place.sensitivity is None for place in places):
            raise RuntimeError(f"the benchmark's own value was judged otherwise: {arguments}")
    return times[10:]
