"""The kinds beside `url` and `sql`, under generated text: what they accept, other programs read alike."""

from __future__ import annotations

import email.headerregistry
import ipaddress
import os.path
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from processor_time import processor_time

from agentguard.core.values import Json, Place
from agentguard.destinations import Ambiguous, Kind, find_kind
from agentguard.destinations.coverage import recall

OPTIONS: Mapping[str, Mapping[str, Json]] = {
    "channel": {"service": "slack"},
    "path": {"root": "/srv/data"},
    "pattern": {"name": "word", "pattern": ".+"},
}
# Far past what any of them needs, on a busy machine too.
LIMIT_SECONDS = 0.5

# What is put into values that are accepted, so that mixtures stay close to the line between yes and no.
_PLAIN = r"""\ % %00 %2e %2f @ : / // . .. - ~ # ? ; , + = * ' " $ ( & < | [ ] 1 a A _ :: 0x7f 127.1 [::1] ::ffff: %eth0
    user@ evil.com .git +psycopg +pyodbc /../ /./ +tag xn--pple-43d"""
_STRANGE = ["\n", "\r", "\t", " ", "\0", "é", "ß", "\uff41", "\u3002", "\u202e", "\u200b", "\u0301", "\u0661", "\ud800"]
PIECES = [*_PLAIN.split(), *_STRANGE]
CASES = yaml.safe_load((Path(__file__).parent / "kind_cases.yaml").read_text())
# What the table of cases accepts.
ACCEPTED: Mapping[str, Sequence[str]] = {
    name: [
        case["value"]
        for case in CASES
        if case["kind"] == name and "id" in case and type(case["value"]) is str
        and case.get("options", {}) in (OPTIONS.get(name, {}), {})
    ] or ["billing", "a:b c"]
    for name in sorted({case["kind"] for case in CASES})
}  # fmt: skip
KINDS = sorted(ACCEPTED)


def kind_of(name: str) -> Kind:
    kind = find_kind(name)
    assert kind is not None
    return kind


def read(name: str, value: Json) -> Place | None:
    """The place, or None for a refusal; within the time that a decision has."""
    with processor_time(at_most=LIMIT_SECONDS):
        derived = kind_of(name).derive(value, OPTIONS.get(name, {}))
    if isinstance(derived, Ambiguous):
        assert derived.reason.isascii()
        assert " " not in derived.reason
        return None
    (place,) = derived
    return place


@st.composite
def texts(draw: st.DrawFn, name: str) -> str:
    """A value that is accepted, broken in nought to two places; now and then, anything."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.text(max_size=30))
    value = draw(st.sampled_from(ACCEPTED[name]))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(value)))
        piece = draw(st.sampled_from(["", *PIECES]))
        value = value[:at] + piece + value[at + draw(st.integers(0, 3)) :]
    return draw(st.sampled_from([value, value.upper(), value.swapcase()])) if draw(st.booleans()) else value


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_accepted_keeps_its_place(name: str, data: st.DataObject) -> None:
    """What a tool is handed, and what a record holds, leads to the place that was judged; and nothing raises."""
    place = read(name, data.draw(texts(name)))
    if place is None:
        return
    assert place.id.isprintable()
    assert list(kind_of(name).place_keys(place))
    if kind_of(name).rewrites_argument:
        assert read(name, place.id) == place
    again = recall(kind_of(name), place.id)
    assert again is not None
    assert (again.id, list(kind_of(name).place_keys(again))) == (place.id, list(kind_of(name).place_keys(place)))


def numeric(host: str) -> str | None:
    """The address that the C library takes a text for, without asking a name server."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError, ValueError):
        return None
    return str(found[0][4][0])


def _reads_host(value: str, place: Place) -> None:
    host = place.parts["host"].strip("[]")
    # What is a name here must not be an address to the system, and an address the same one.
    assert numeric(host) == (host if ":" in host or host.replace(".", "").isdigit() else None)


def _reads_ip(value: str, place: Place) -> None:
    assert numeric(value) == place.id == str(ipaddress.ip_address(value))


def _reads_email(value: str, place: Place) -> None:
    (mailbox,) = email.headerregistry.HeaderRegistry()("To", value).addresses
    address = email.headerregistry.Address(addr_spec=mailbox.addr_spec)
    domain = address.domain.lower().encode("idna").decode("ascii")
    assert f"{address.username.lower()}@{domain}" == place.id


def _reads_path(value: str, place: Place) -> None:
    assert os.path.normpath(os.path.join("/srv/data", value)) == place.id
    assert os.path.commonpath(["/srv/data", place.id]) == "/srv/data"


def _reads_command(value: str, place: Place) -> None:
    # `punctuation_chars` cuts where a shell would see an operator.
    cut = shlex.shlex(value, posix=True, punctuation_chars=True)
    cut.whitespace_split = True
    assert list(cut) == shlex.split(place.id)


def _reads_dsn(value: str, place: Place) -> None:
    if place.parts["scheme"] != "postgresql":
        return
    psycopg = pytest.importorskip("psycopg")
    try:
        plain = psycopg.conninfo.conninfo_to_dict(f"postgresql://{value.partition('://')[2]}")
    except psycopg.ProgrammingError:
        # What the client does not take at all leads nowhere.
        return
    assert str(plain["host"]).lower() == place.parts["host"].strip("[]")
    assert (str(plain.get("port", "5432")), plain["dbname"].lower()) == (place.parts["port"], place.parts["database"])


def _reads_iban(value: str, place: Place) -> None:
    letters = value.replace(" ", "").upper()
    rearranged = letters[4:] + letters[:4]
    assert letters == place.id
    assert int("".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter)) for letter in rearranged)) % 97 == 1


SECOND_READERS: Mapping[str, Callable[[str, Place], None]] = {
    "command": _reads_command,
    "dsn": _reads_dsn,
    "email": _reads_email,
    "host": _reads_host,
    "iban": _reads_iban,
    "ip": _reads_ip,
    "path": _reads_path,
}


@pytest.mark.parametrize("name", sorted(SECOND_READERS))
@settings(max_examples=400)
@given(data=st.data())
def test_another_program_reads_what_is_accepted_alike(name: str, data: st.DataObject) -> None:
    """A checker that agrees only with itself proves nothing: the system's and other people's parsers must agree."""
    value = data.draw(texts(name))
    place = read(name, value)
    if place is not None:
        SECOND_READERS[name](value, place)


# Each row: the spellings that some client takes to one place. Whatever of them is accepted has one id and one worth.
SAME: Mapping[str, Sequence[Sequence[Json]]] = {
    "channel": [["general", "#general"], ["123456789012345678", "#123456789012345678"]],
    "command": [["git log -1", ["git", "log", "-1"]]],
    "dsn": [
        ["postgresql://db/sales", "postgres://u:p@DB:5432/sales", "postgresql+asyncpg://db/SALES?sslmode=require"],
        ["redis://h", "redis://h/", "redis://h/0", "rediss://h:6379/0", "redis://h/00", "redis://h/x"],
        ["clickhouse+native://h", "clickhouse://h:9000/default", "clickhouse+native://h:9000/DEFAULT"],
        ["mysql://h/Sales", "mariadb+pymysql://u@H:3306/sales"],
        ["mssql://h/Sales", "sqlserver://H:1433/SALES"],
        ["sqlite:////srv/x.db", "SQLite+aiosqlite:////srv//./x.db"],
    ],
    "email": [["boss@example.com", "BOSS@Example.COM"]],
    "git": [
        [
            "https://github.com/o/r",
            "HTTPS://GitHub.com:443/O/R.git/",
            "git@github.com:o/r.GIT",
            "ssh://GITHUB.com/o/r/",
        ],
        ["https://[2001:db8::1]/o/r", "https://[2001:DB8:0::1]/o/r.git"],
    ],
    "host": [["db.example.com:22", "DB.example.COM:22"], ["[2001:db8::1]", "[2001:0DB8:0:0::0001]"]],
    "iban": [["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"]],
    "ip": [["2001:db8::1", "2001:DB8:0:0::1", "2001:db8::0.0.0.1"], ["10.0.0.5", "::ffff:10.0.0.5", "012.0.0.5"]],
    "object": [
        ["s3://bucket/a/b", "https://bucket.s3.amazonaws.com/a/b", "https://s3.eu-west-1.amazonaws.com/bucket/%61/b"],
        ["gs://bucket-1/a", "https://storage.googleapis.com/bucket-1/a", "https://bucket-1.storage.googleapis.com/a"],
        ["gs://b-1/a", "https://storage.googleapis.com/storage/v1/b/b-1/o/a"],
        ["az://acc1/$root/a", "https://acc1.blob.core.windows.net/$root/a", "https://acc1.blob.core.windows.net/a"],
        ["az://acc1/con/a", "abfss://con@acc1.dfs.core.windows.net/a", "https://acc1.blob.core.windows.net/con/a"],
    ],
    "path": [["a/b", "/srv/data/a/b", "./a//b/", "/srv//data/./a/b"], ["/srv/data", "/srv/data/", "/srv/data/."]],
    "pattern": [["billing"]],
}


@pytest.mark.parametrize(
    ("name", "spellings"), [(name, spellings) for name, groups in SAME.items() for spellings in groups], ids=ascii
)
def test_spellings_of_one_place_have_one_id_or_none(name: str, spellings: Sequence[Json]) -> None:
    """Otherwise a forbidden place would only have to be spelt the other way."""
    places = [read(name, spelling) for spelling in spellings]
    assert places[0] is not None
    assert {place.id for place in places if place is not None} == {places[0].id}
    keys = {tuple(kind_of(name).place_keys(place)) for place in places if place is not None}
    assert len(keys) == 1


@pytest.mark.parametrize("value", ["b.o.s.s@gmail.com", "BOSS+x@GoogleMail.com", "bo.ss+y.z@googlemail.com"])
def test_dots_and_domains_that_gmail_does_not_tell_apart_are_one_mailbox(value: str) -> None:
    """A listed mailbox could be written to under a name of the attacker's choice."""
    listed = kind_of("email").pattern_key("b.oss@gmail.com")
    place = read("email", value)
    assert place is not None
    assert next(iter(kind_of("email").place_keys(place))) == listed


def test_a_whole_server_is_covered_by_no_wildcard_of_its_databases() -> None:
    """A connection to no database reaches every one of them, those with an entry of their own too."""
    server, database = read("dsn", "mysql://db.example.com"), read("dsn", "mysql://db.example.com/sales")
    assert server is not None
    assert database is not None
    assert list(kind_of("dsn").place_keys(server)) == [kind_of("dsn").pattern_key("mysql://db.example.com/")]
    assert kind_of("dsn").pattern_key("mysql://db.example.com/*") in list(kind_of("dsn").place_keys(database))
