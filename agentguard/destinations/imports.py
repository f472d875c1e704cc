"""Entries for our catalog out of other catalogs' exports. Nothing is guessed: every word must be known.

``fips199`` and ``tlp`` are CSV with the columns ``kind``, ``pattern`` and ``confidentiality`` or ``tlp``, and perhaps
``zone``, ``owner``, ``category``, ``environment``. The others are what those programs write as JSON: OpenMetadata's
tables with their tags, DataHub's list of metadata change proposals, OCSF events (one JSON value, or one a line).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agentguard.core.declarations import CatalogEntry, Source
from agentguard.core.values import Json, Sensitivity
from agentguard.destinations.catalog import Catalog
from agentguard.destinations.levels import Levels
from agentguard.errors import PolicyError, PolicyProblem

# One line a thing: the same thing twice with two levels is a mistake. The programs' own exports speak of a thing in
# several places, and the worst counts.
_CSV = frozenset({"fips199", "tlp"})
# An export of a hundred thousand tables is about half of this.
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read. ``unclassified`` counts what stood there without a level."""

    entries: tuple[CatalogEntry, ...]
    unclassified: int


@dataclass(frozen=True, slots=True)
class _Row:
    """One thing and every word that classifies it."""

    line: int
    kind: str
    pattern: str
    words: tuple[str, ...]
    more: Mapping[str, str]


class _Unreadable(Exception):
    """Says at which line an export is not what it should be."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_catalog(source: str, text: str, levels: Levels, file: str) -> Imported:
    """The entries of an export, the worst word of each thing counting. Raises PolicyError naming every problem."""
    problems: list[PolicyProblem] = []
    entries: dict[tuple[str, str, int], CatalogEntry] = {}
    merged = source not in _CSV
    unclassified = 0
    try:
        for row in READERS[source](text):
            worst: Sensitivity | None = None
            for word in row.words:
                try:
                    level = levels.of(word)
                except ValueError as error:
                    problems.append(PolicyProblem(file, row.line, str(error)))
                    continue
                worst = level if worst is None or (level is not None and level > worst) else worst
            if worst is None:
                unclassified += 1
                continue
            key = (row.kind, row.pattern, 0 if merged else row.line)
            if key in entries:
                worst = max(worst, entries[key].sensitivity)
            entries[key] = CatalogEntry(
                row.kind, row.pattern, worst, row.more.get("zone"), row.more.get("owner"), row.more.get("category"),
                row.more.get("environment"), Source(file, row.line),
            )  # fmt: skip
    except _Unreadable as error:
        problems.append(PolicyProblem(file, error.line, str(error)))
    found = tuple(entry for _, entry in sorted(entries.items()))
    try:
        Catalog(found)
    except PolicyError as error:
        problems.extend(error.problems)
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: (problem.line, problem.message)))
    return Imported(found, unclassified)


def as_yaml(imported: Imported, source: str) -> str:
    """A ``Destinations`` file to review. Texts are quoted as JSON, which YAML reads alike."""
    lines = [
        f"# From {source}, to be reviewed. {imported.unclassified} entries had no level and are left out.",
        "apiVersion: agentguard/v1",
        "kind: Destinations",
        "destinations:" if imported.entries else "destinations: []",
    ]
    for entry in imported.entries:
        pairs = [f"kind: {entry.kind}", f"pattern: {_quoted(entry.pattern)}", f"sensitivity: {entry.sensitivity.word}"]
        for name in ("zone", "owner", "category", "environment"):
            given = getattr(entry, name)
            pairs += [f"{name}: {_quoted(given)}"] if given is not None else []
        lines.append(f"  - {{{', '.join(pairs)}}}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# CSV

_MORE = ("zone", "owner", "category", "environment")


def _csv(column: str) -> Callable[[str], Iterator[_Row]]:
    def read(text: str) -> Iterator[_Row]:
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            heads = next(rows, [])
            needed = {"kind", "pattern", column}
            if len(set(heads)) != len(heads) or not needed <= set(heads) <= needed | set(_MORE):
                raise _Unreadable(
                    1, f"expected the columns {', '.join(sorted(needed))}, and perhaps {', '.join(_MORE)}; found "
                    f"{', '.join(f'`{head}`' for head in heads) or 'none'}",
                )  # fmt: skip
            for cells in rows:
                if not cells:
                    continue
                if len(cells) != len(heads):
                    raise _Unreadable(rows.line_num, f"expected {len(heads)} cells, found {len(cells)}")
                row = dict(zip(heads, cells, strict=True))
                words = (row[column],) if row[column] else ()
                more = {name: row[name] for name in _MORE if row.get(name)}
                yield _Row(rows.line_num, row["kind"], row["pattern"], words, more)
        except csv.Error as error:
            raise _Unreadable(rows.line_num, f"this is not CSV ({error})") from None

    return read


# JSON


def _json_values(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every object of a list, of one object, or of one a line; and its line."""
    try:
        whole = _load(text)
    except json.JSONDecodeError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield number, _object(_load(line), number)
                except json.JSONDecodeError:
                    raise _Unreadable(number, "this is neither JSON nor one JSON object a line") from None
        return
    for value in whole if isinstance(whole, list) else [whole]:
        yield 1, _object(value, 1)


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_member_twice)
    except RecursionError:
        raise _Unreadable(1, "the JSON is nested too deep") from None


def _no_member_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unreadable(1, "an object has a member twice; write each once")
    return found


def _object(value: Json, line: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unreadable(line, "expected objects")
    return value


def _text(value: Any, line: int, what: str) -> str:
    if type(value) is not str or not value:
        raise _Unreadable(line, f"{what} is missing or no text")
    return value


def _list(value: Any, line: int, what: str) -> list[dict[str, Any]]:
    """A list of objects; absent and null are none."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _Unreadable(line, f"{what} is no list of objects")
    return value


# What OpenMetadata (`serviceType`) and DataHub (`dataPlatform`) call our dialects, in lower case, and how many parts a
# table's full name has there. OpenMetadata puts the service's name before it.
_DIALECTS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "bigquery": ("bigquery", 3),
        "clickhouse": ("clickhouse", 2),
        "databricks": ("databricks", 3),
        "mariadb": ("mysql", 2),
        "mssql": ("tsql", 2),
        "mysql": ("mysql", 2),
        "oracle": ("oracle", 2),
        "postgres": ("postgres", 2),
        "redshift": ("redshift", 2),
        "snowflake": ("snowflake", 3),
        "trino": ("trino", 3),
        "unitycatalog": ("databricks", 3),
    }
)


def _table(platform: str, name: str, line: int) -> str:
    """A table pattern: as many parts of the name, from its end, as statements of that dialect write."""
    known = _DIALECTS.get(platform.lower())
    if known is None:
        raise _Unreadable(line, f"`{platform}` is not a platform known here; expected {', '.join(sorted(_DIALECTS))}")
    dialect, parts = known
    names = name.split(".")
    if len(names) < parts or '"' in name:
        raise _Unreadable(line, f"`{name}` is not the full name of a table in {platform}")
    return f"{dialect}:{'.'.join(names[-parts:]).lower()}"


def _open_metadata(text: str) -> Iterator[_Row]:
    for line, value in _json_values(text):
        tables = _list(value["data"], line, "`data`") if "data" in value else [value]
        for table in tables:
            pattern = _table(
                _text(table.get("serviceType"), line, "`serviceType`"),
                _text(table.get("fullyQualifiedName"), line, "`fullyQualifiedName`"),
                line,
            )
            yield _Row(line, "sql", pattern, _tags(table, line), {})
            for column in _list(table.get("columns"), line, "`columns`"):
                name = _text(column.get("name"), line, "a column's `name`").lower()
                words = _tags(column, line)
                if words:
                    yield _Row(line, "sql", f"{pattern}({name})", words, {})


def _tags(thing: Mapping[str, Any], line: int) -> tuple[str, ...]:
    tags = (_text(tag.get("tagFQN"), line, "`tagFQN`") for tag in _list(thing.get("tags"), line, "`tags`"))
    # The classification that the words stand in by default.
    return tuple(tag.removeprefix("Classification.") for tag in tags)


_DATASET = re.compile(r"urn:li:dataset:\(urn:li:dataPlatform:([^,]+),([^,]+),[A-Z]+\)")
_FIELD_MARKS = re.compile(r"\[[^\]]*\]\.?")
_FIELD_LISTS = {"editableSchemaMetadata": "editableSchemaFieldInfo", "schemaMetadata": "fields"}


def _datahub(text: str) -> Iterator[_Row]:
    for line, value in _json_values(text):
        aspect = value.get("aspectName")
        if value.get("entityType") != "dataset" or aspect not in ("globalTags", *_FIELD_LISTS):
            continue
        urn = _text(value.get("entityUrn"), line, "`entityUrn`")
        match = _DATASET.fullmatch(urn)
        if match is None:
            raise _Unreadable(line, f"`{urn}` is not a dataset's URN")
        pattern = _table(match[1], match[2], line)
        wrapped = value.get("aspect")
        body = wrapped.get("json") if isinstance(wrapped, dict) else None
        if not isinstance(body, dict):
            raise _Unreadable(line, "`aspect.json` is missing; export with the file sink of today's DataHub")
        if aspect == "globalTags":
            yield _Row(line, "sql", pattern, _urn_tags(body, line), {})
            continue
        for one in _list(body.get(_FIELD_LISTS[aspect]), line, f"`{_FIELD_LISTS[aspect]}`"):
            path = _text(one.get("fieldPath"), line, "`fieldPath`")
            words = _urn_tags(one.get("globalTags") or {}, line)
            if words:
                # `[version=2.0].[type=…].email.domain`: the column is the first plain part.
                column = _FIELD_MARKS.sub("", path).partition(".")[0]
                yield _Row(line, "sql", f"{pattern}({column.lower()})", words, {})


def _urn_tags(thing: Any, line: int) -> tuple[str, ...]:
    tags = _list(_object(thing, line).get("tags"), line, "`tags`")
    return tuple(_text(tag.get("tag"), line, "`tag`").removeprefix("urn:li:tag:") for tag in tags)


_BUCKETS = {1: "s3", 3: "gs"}


def _ocsf(text: str) -> Iterator[_Row]:
    for line, event in _json_values(text):
        for thing in (event, *_list(event.get("resources"), line, "`resources`")):
            words = tuple(_confidentiality(thing, line))
            if words:
                yield _Row(line, *_ocsf_place(thing, line), words, {})


def _confidentiality(thing: Mapping[str, Any], line: int) -> Iterator[str]:
    single = thing.get("data_classification")
    given = [*([] if single is None else [single]), *_list(thing.get("data_classifications"), line, "the list")]
    for one in given:
        number = _object(one, line).get("confidentiality_id")
        if number is not None and type(number) is not int:
            raise _Unreadable(line, "`confidentiality_id` is no number")
        if number is not None:
            yield str(number)


def _ocsf_place(thing: Mapping[str, Any], line: int) -> tuple[str, str]:
    bucket, file = thing.get("databucket"), thing.get("file")
    if isinstance(bucket, dict) and bucket.get("type_id") in _BUCKETS:
        return "object", f"{_BUCKETS[bucket['type_id']]}://{_text(bucket.get('name'), line, '`databucket.name`')}/*"
    if isinstance(file, dict):
        return "path", _text(file.get("path"), line, "`file.path`")
    raise _Unreadable(line, "a classified thing is neither a `databucket` (S3 or Google Cloud) nor a `file`")


READERS: Mapping[str, Callable[[str], Iterator[_Row]]] = MappingProxyType(
    {
        "fips199": _csv("confidentiality"),
        "tlp": _csv("tlp"),
        "openmetadata": _open_metadata,
        "datahub": _datahub,
        "ocsf": _ocsf,
    }
)
