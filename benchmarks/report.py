"""The aims, as ratios where a machine's speed would show, and the table of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import conditions
from benchmarks.large import LISTS
from benchmarks.peers import WHAT

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Aim:
    """One aim: what is measured, in which part, and the number it must not exceed (or must reach)."""

    part: str
    name: str
    measured: Callable[[Found], float]
    word: Literal["at most", "at least"]
    limit: float
    unit: str


def _most(found: Found) -> str:
    return max((str(workflows) for workflows in found["decision"]), key=int)


def _at(found: Found, wanted: int) -> Found:
    """The figures at this many workflows, or at the most there were (the quick form has fewer)."""
    decision: Found = found["decision"]
    at: Found = decision.get(str(wanted)) or decision[_most(found)]
    return at


def _most_callers(kind: str) -> Callable[[Found], float]:
    def a_second(found: Found) -> float:
        durable = found["durable"]
        return float(durable[kind][max(durable[kind], key=int)]["per_second"])

    return a_second


def _smallest_share(found: Found) -> float:
    return min(float(row["share"]) for row in found["processes"].values())


def _slowest(found: Found) -> float:
    return max(float(row["p999_ms"]) for row in found["processes"].values())


def _slowest_list(found: Found) -> float:
    return max(float(found["large"][name]) for name in LISTS)


def _call_in_large(found: Found) -> float:
    large = found["large"]
    return float(large["a call, large ledger, us"] / large["a call, empty ledger, us"])


def _growth(found: Found) -> float:
    decision = found["decision"]
    return float(decision[_most(found)]["plain"] / decision[min(decision, key=int)]["plain"])


def _beside(cedar: str) -> Callable[[Found], float]:
    """The same three conditions, at 1,000 workflows."""

    def times_faster(found: Found) -> float:
        at = _at(found, 1_000)
        return float("nan") if at[cedar] is None else float(at[cedar] / at["three_conditions"])

    return times_faster


def _one_call(found: Found) -> float:
    """By what a thousand of them take together: single commits on one disk differ thirtyfold."""
    in_turn = found["durable"]["in_turn"]
    return float(in_turn["bare_sqlite_commit"]["per_second"] / in_turn["guarded_call"]["per_second"])


def _langchain(kind: str, ledger: str) -> Callable[[Found], float]:
    def times_bare(found: Found) -> float:
        tool = found["calls"][kind]
        return float(tool[ledger] / tool["bare"])

    return times_bare


def _function(found: Found) -> float:
    return float(found["calls"]["function"]["guarded_in_memory"])


_FULL = "langchain_tool_with_everything"
AIMS = (
    Aim("decision", "a decision without conditions", lambda f: float(_at(f, 1_000)["plain"]), "at most", 5, "µs"),
    Aim(
        "decision",
        "a decision with three conditions",
        lambda f: float(_at(f, 1_000)["three_conditions"]),
        "at most",
        15,
        "µs",
    ),
    Aim("decision", "a decision, from 10 to 10,000 workflows", _growth, "at most", 1.2, "x"),
    Aim("decision", "a decision beside cedarpy, 1,000 workflows", _beside("cedarpy"), "at least", 20, "x faster"),
    Aim("decision", "the same, policies parsed once", _beside("cedarpy_parsed_once"), "at least", 20, "x faster"),
    Aim(
        "calls",
        "a guarded LangChain call in memory",
        _langchain("langchain_tool", "guarded_in_memory"),
        "at most",
        1.25,
        "x",
    ),
    Aim(
        "calls",
        "the same on SQLite without the sync",
        _langchain("langchain_tool", "guarded_unsynced"),
        "at most",
        1.4,
        "x",
    ),
    Aim(
        "calls",
        "with a URL, conditions, a budget, kept values",
        _langchain(_FULL, "guarded_in_memory"),
        "at most",
        1.7,
        "x",
    ),
    Aim("calls", "a guarded function in memory", _function, "at most", 60, "µs"),
    Aim("durable", "one durable call beside a bare commit, journal grown", _one_call, "at most", 1.7, "x"),
    Aim("durable", "durable calls with the most tasks", _most_callers("tasks"), "at least", 12_000, "a second"),
    Aim("durable", "durable calls with the most threads", _most_callers("threads"), "at least", 6_000, "a second"),
    Aim(
        "processes",
        "the smallest share of 2 and 4 processes on one file",
        _smallest_share,
        "at least",
        0.8,
        "of the mean",
    ),
    Aim("processes", "their calls, p99.9", _slowest, "at most", 100, "ms"),
    Aim("large", "the slowest list of a large ledger", _slowest_list, "at most", 1.5, "s"),
    Aim("large", "a run's start in it", lambda f: float(f["large"]["a start, large ledger"]), "at most", 0.2, "s"),
    Aim("large", "a call in it, beside one in an empty ledger", _call_in_large, "at most", 1.1, "x"),
    Aim("large", "memory of an idle run", lambda f: float(f["large"]["idle run, bytes"]), "at most", 2_048, "bytes"),
    Aim(
        "revocation",
        "from a signal to the first refusal, p99",
        lambda f: float(f["revocation"]["p99_ms"]),
        "at most",
        1_000,
        "ms",
    ),
    Aim(
        "decision",
        "load 1,000 workflows",
        lambda f: float(_at(f, 1_000)["load_s"]),
        "at most",
        0.7,
        "s of processor time",
    ),
    Aim("start", "import a guard", lambda f: float(f["start"]["import_s"]), "at most", 0.25, "s of processor time"),
    Aim("start", "memory of that import", lambda f: float(f["start"]["import_mib"]), "at most", 45, "MiB"),
)


_LEDGERS = ("bare", "guarded_in_memory", "guarded_unsynced", "guarded_durable")


def judge(found: Found) -> list[Found]:
    """Every aim of the parts that were run. What could not be measured is null, and not reached."""
    return [_judged(aim, aim.measured(found)) for aim in AIMS if aim.part in found]


def _judged(aim: Aim, value: float) -> Found:
    known = value == value
    reached = known and (value <= aim.limit if aim.word == "at most" else value >= aim.limit)
    return {
        "aim": aim.name,
        "measured": round(value, 3) if known else None,
        "wanted": f"{aim.word} {aim.limit:g} {aim.unit}",
        "reached": reached,
    }


def table(found: Found) -> str:
    """Everything that was measured as Markdown tables."""
    lines = ["| Aim | Measured | Wanted | |", "| --- | ---: | --- | --- |"]
    for aim in found["aims"]:
        missed = "" if aim["reached"] else "**missed**"
        lines += [f"| {aim['aim']} | {_shown(aim['measured'])} | {aim['wanted']} | {missed} |"]
    for part, rows in TABLES.items():
        if part in found:
            lines += ["", *rows(found[part])]
    return "\n".join(lines)


def _calls(found: Found) -> Iterator[str]:
    yield "| processor time, µs a call | bare | guarded, in memory | SQLite, no sync | SQLite, durable |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for kind, row in found.items():
        yield _row(kind.replace("_", " "), *(row[column] for column in _LEDGERS))


def _start(found: Found) -> Iterator[str]:
    yield from ("| start of a process | processor time, s | MiB, in all |", "| --- | ---: | ---: |")
    yield _row("`from agentguard import Guard`", found["import_s"], found["import_mib"])
    yield f"{_row('`Guard.load`, ten workflows', found['guard_s'])} |"
    yield _row("the first call, wrapped and in a run", found["first_call_s"], found["all_mib"])


def _decision(found: Found) -> Iterator[str]:
    yield "| workflows | load, s | no conditions, µs | three, µs | Cedar, µs | Cedar, parsed once, µs | Casbin, µs |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    columns = ("load_s", "plain", "three_conditions", "cedarpy", "cedarpy_parsed_once", "pycasbin")
    for workflows, row in found.items():
        yield _row(workflows, *(row[column] for column in columns))


def _durable(found: Found) -> Iterator[str]:
    yield from ("| durable | a second | p50, µs | p99, µs |", "| --- | ---: | ---: | ---: |")
    rows = {f"{name.replace('_', ' ')}, in turn": row for name, row in found["in_turn"].items()}
    for kind in ("threads", "tasks"):
        rows |= {f"guarded call, {callers} {kind}": row for callers, row in found[kind].items()}
    for name, row in rows.items():
        yield _row(name, row["per_second"], row["p50_us"], row["p99_us"])


def _processes(found: Found) -> Iterator[str]:
    yield "| processes x callers, one file | a second | smallest share | p50, ms | p99.9, ms |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, row in found.items():
        yield _row(name, row["per_second"], row["share"], row["p50_ms"], row["p999_ms"])


def _large(found: Found) -> Iterator[str]:
    yield from (f"| {found['records']:,} records, {found['runs']:,} runs | |", "| --- | ---: |")
    for name, value in found.items():
        if name not in ("records", "runs"):
            yield _row(name, value)


def _identity(found: Found) -> Iterator[str]:
    yield "| verify, µs | keys read anew | keys known | joserfc | PyJWT |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for algorithm, row in found["verify"].items():
        yield _row(algorithm, *(row[column] for column in ("cold", "cached", "joserfc", "pyjwt")))
    yield from ("", "| proof of a call, µs | agentguard | joserfc | PyJWT |", "| --- | ---: | ---: | ---: |")
    for kind, row in found["proof"].items():
        for word, what in (("make", "made"), ("verify", "verified")):
            yield _row(f"{kind}, {what}", *(row[f"{word}{by}"] for by in ("", "_joserfc", "_pyjwt")))


def _destinations(found: Found) -> Iterator[str]:
    yield "| destination, µs | p50 | p99 | refused, p50 | refused, p99 |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for kind, row in found.items():
        yield _row(kind, *(row[column] for column in ("p50_us", "p99_us", "refused_p50_us", "refused_p99_us")))


def _revocation(found: Found) -> Iterator[str]:
    yield "| revocation, across two processes | signals | p50, ms | p99, ms |"
    yield "| --- | ---: | ---: | ---: |"
    yield _row("from a signal to the first refusal", found["signals"], found["p50_ms"], found["p99_ms"])


def _peers(found: Found) -> Iterator[str]:
    """What a call costs and what it buys. The reasons for what is missing stand in ``benchmarks/README.md``."""
    yield "| a plain function, three conditions | µs | × bare | does | leaves to others |"
    yield "| --- | ---: | ---: | --- | --- |"
    for name, time in found.items():
        does, leaves = WHAT.get(name, ("", ""))
        ratio = None if time is None else time / found["bare"]
        yield f"{_row(name, time, ratio)} {does} | {leaves} |"


TABLES: dict[str, Callable[[Any], Iterable[str]]] = {
    "calls": _calls,
    "peers": _peers,
    "start": _start,
    "decision": _decision,
    "durable": _durable,
    "processes": _processes,
    "large": _large,
    "identity": _identity,
    "destinations": _destinations,
    "revocation": _revocation,
    "conditions": conditions.table,
}


def _row(name: str, *values: float | None) -> str:
    return "| " + " | ".join([name, *map(_shown, values)]) + " |"


def _shown(value: float | None) -> str:
    if value is None:
        return "not installed"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
