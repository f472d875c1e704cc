"""Other catalogs become entries of ours by a written table, and nothing in them is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentguard.core.values import Sensitivity
from agentguard.destinations.imports import READERS, Imported, as_yaml, read_catalog
from agentguard.destinations.levels import known_levels
from agentguard.errors import ConfigurationError, PolicyError


def read(source: str, text: str) -> Imported:
    return read_catalog(source, text, known_levels()[source], "export")


def entries(source: str, text: str) -> dict[str, str]:
    return {entry.pattern: entry.sensitivity.word for entry in read(source, text).entries}


TABLE = {
    "fullyQualifiedName": "prod_pg.shop.Sales.Customers",
    "serviceType": "Postgres",
    "tags": [{"tagFQN": "Internal"}],
    "columns": [
        {"name": "Email", "tags": [{"tagFQN": "PII.Sensitive"}, {"tagFQN": "PII.NonSensitive"}]},
        {"name": "id", "tags": []},
        {"name": "city"},
    ],
}


def test_openmetadata_tables_and_columns_become_entries() -> None:
    """As `GET /api/v1/tables?fields=tags,columns` answers; a column without tags is under its table."""
    expected = {"postgres:sales.customers": "internal", "postgres:sales.customers(email)": "restricted"}
    assert entries("openmetadata", json.dumps({"data": [TABLE], "paging": {"total": 1}})) == expected
    assert entries("openmetadata", json.dumps(TABLE)) == expected
    assert entries("openmetadata", json.dumps({**TABLE, "serviceType": "Snowflake"})).keys() == {
        "snowflake:shop.sales.customers",
        "snowflake:shop.sales.customers(email)",
    }


URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.sales.customers,PROD)"


def proposal(aspect: str, body: object, urn: str = URN) -> dict[str, object]:
    return {"entityType": "dataset", "entityUrn": urn, "aspectName": aspect, "aspect": {"json": body}}


def tagged(*words: str) -> dict[str, object]:
    return {"tags": [{"tag": f"urn:li:tag:{word}"} for word in words]}


def test_datahub_proposals_become_entries() -> None:
    """As the file sink writes them. A column may be tagged in two places: the worst counts, in either order."""
    fields = proposal("schemaMetadata", {"fields": [{"fieldPath": "email", "globalTags": tagged("Confidential")}]})
    edited = proposal(
        "editableSchemaMetadata",
        {
            "editableSchemaFieldInfo": [
                {"fieldPath": "[version=2.0].[type=string].email", "globalTags": tagged("Restricted")},
                {"fieldPath": "id"},
            ]
        },
    )
    others = [{"entityType": "dashboard", "entityUrn": "x"}, proposal("status", {"removed": False})]
    expected = {"postgres:sales.customers": "internal", "postgres:sales.customers(email)": "restricted"}
    for order in ([fields, edited], [edited, fields]):
        text = json.dumps([proposal("globalTags", tagged("Internal")), *order, *others])
        assert entries("datahub", text) == expected


def test_ocsf_events_become_entries() -> None:
    """One event a line; a thing seen twice counts as its worst."""
    events = [
        {"databucket": {"type_id": 1, "name": "exports"}, "data_classification": {"confidentiality_id": 2}},
        {"databucket": {"type_id": 1, "name": "exports"}, "data_classification": {"confidentiality_id": 6}},
        {"databucket": {"type_id": 1, "name": "exports"}, "data_classification": {"confidentiality_id": 1}},
        {"resources": [{"file": {"path": "/srv/pay.csv"}, "data_classifications": [{"confidentiality_id": 4}]}]},
        {"databucket": {"type_id": 3, "name": "open"}, "data_classification": {"confidentiality_id": 0}},
        {"message": "nothing is classified here"},
    ]
    text = "\n".join(map(json.dumps, events))
    assert entries("ocsf", text) == {"s3://exports/*": "restricted", "/srv/pay.csv": "secret"}
    assert read("ocsf", text).unclassified == 1


def test_tlp_and_fips_lists_become_entries() -> None:
    """A list that anybody can write in a spreadsheet, more columns included."""
    tlp = 'kind,pattern,tlp,zone,owner\nurl,"https://a.example.com/*",TLP:AMBER+STRICT,office,crm\nhost,b,,,\n'
    found = read("tlp", tlp)
    assert [(e.pattern, e.sensitivity, e.zone, e.owner, e.category) for e in found.entries] == [
        ("https://a.example.com/*", Sensitivity.RESTRICTED, "office", "crm", None)
    ]
    assert found.unclassified == 1
    fips = "pattern,kind,confidentiality\r\na.example.com,host,HIGH\r\nb.example.com,host,NOT APPLICABLE\r\n"
    assert entries("fips199", fips) == {"a.example.com": "restricted", "b.example.com": "public"}


@pytest.mark.parametrize(
    ("source", "text", "says"),
    [
        (
            "tlp",
            "kind,pattern,tlp\nhost,a,TLP:WHITE\n",
            r"export:2: `TLP:WHITE` is not known here; expected `TLP:CLEAR`",
        ),
        ("tlp", "kind,pattern,tlp\nhost,a,tlp:red\n", "`tlp:red` is not known"),
        ("tlp", "kind,pattern,tlp\nhost,a,TLP:RED \n", "is not known"),
        ("tlp", "kind,pattern,tlp\nhost,a,TLP:RED\nhost,a,TLP:GREEN\n", "export:3: `a` is listed already"),
        ("tlp", "kind,pattern,tlp\nhost,a\n", "export:2: expected 3 cells, found 2"),
        ("tlp", "kind,pattern\nhost,a\n", "expected the columns kind, pattern, tlp"),
        ("tlp", "kind,pattern,tlp,tlp\nhost,a,TLP:RED,TLP:RED\n", "expected the columns"),
        ("tlp", "kind,pattern,tlp,secret\n", "expected the columns"),
        ("tlp", "", "found none"),
        ("tlp", 'kind,pattern,tlp\nhost,"a,TLP:RED\n', "is not CSV"),
        ("tlp", "kind,pattern,tlp\nhosts,a,TLP:RED\n", "`hosts` is not a kind"),
        ("tlp", "kind,pattern,tlp\nhost,a/b,TLP:RED\n", "export:2: `a/b` is not a host"),
        ("fips199", "kind,pattern,confidentiality\nhost,a,TLP:RED\n", "expected `NOT APPLICABLE`, `LOW`"),
        ("openmetadata", json.dumps({**TABLE, "tags": [{"tagFQN": "Tier.Tier1"}]}), "--ignore 'Tier.Tier1'"),
        ("openmetadata", json.dumps({**TABLE, "serviceType": "Excel"}), "`Excel` is not a platform"),
        ("openmetadata", json.dumps({**TABLE, "fullyQualifiedName": "t"}), "not the full name of a table"),
        ("openmetadata", json.dumps({**TABLE, "columns": [{"tags": []}]}), "`name` is missing"),
        ("openmetadata", json.dumps({**TABLE, "columns": 5}), "no list of objects"),
        ("openmetadata", json.dumps({**TABLE, "tags": [{"tagFQN": 5}]}), "`tagFQN` is missing"),
        ("openmetadata", '{"data": [], "data": []}', "a member twice"),
        ("openmetadata", "[" * 100_000, "nested too deep"),
        ("openmetadata", "kind,pattern", "neither JSON nor"),
        ("openmetadata", "[5]", "expected objects"),
        ("datahub", json.dumps([proposal("globalTags", tagged("Internal"), "urn:li:x")]), "not a dataset's URN"),
        ("datahub", json.dumps([proposal("globalTags", None)]), "`aspect.json` is missing"),
        ("datahub", json.dumps([proposal("globalTags", tagged("internal"))]), "`internal` is not known"),
        ("ocsf", '{"data_classification": {"confidentiality_id": 2}}', "neither a `databucket`"),
        ("ocsf", '{"file": {"path": "/a"}, "data_classification": {"confidentiality_id": 99}}', "`99` is not known"),
        ("ocsf", '{"file": {"path": "/a"}, "data_classification": {"confidentiality_id": "2"}}', "is no number"),
        ("ocsf", '{"file": {"path": "a"}, "data_classification": {"confidentiality_id": 2}}', "`a` does not begin"),
        ("ocsf", "\n{}\n{", r"export:3: this is neither"),
    ],
)
def test_what_is_not_known_is_named_and_nothing_is_made_of_it(source: str, text: str, says: str) -> None:
    """A level that is guessed is a hole with a paper that says otherwise."""
    with pytest.raises(PolicyError, match=says):
        read(source, text)


def test_every_problem_is_named_at_once() -> None:
    """An import of ten thousand lines is not repaired one error at a time."""
    with pytest.raises(PolicyError) as caught:
        read("tlp", "kind,pattern,tlp\nhost,a,X\nhost,b,TLP:RED\nhost,c,Y\nhost,d/,TLP:RED\n")
    assert [problem.line for problem in caught.value.problems] == [2, 4, 5]


@given(
    st.sampled_from(sorted(READERS)),
    st.text(max_size=60),
    st.sampled_from(["", "kind,pattern,tlp\n", "[{", '{"data":']),
)
def test_no_text_raises_anything_but_our_own_error(source: str, text: str, head: str) -> None:
    """An export comes from another program."""
    try:
        read(source, head + text)
    except PolicyError as error:
        assert error.problems


def test_words_of_ones_own_are_said_and_cannot_change_the_table() -> None:
    """An organisation has its own tags; the standard's words stay the standard's."""
    levels = known_levels()["openmetadata"].with_more({"Our.Top": "secret"}, frozenset({"Tier.Tier1"}))
    tags = {"tags": [{"tagFQN": "Our.Top"}, {"tagFQN": "Tier.Tier1"}], "columns": []}
    found = read_catalog("openmetadata", json.dumps({**TABLE, **tags}), levels, "export")
    assert [entry.sensitivity for entry in found.entries] == [Sensitivity.SECRET]
    for mapped, ignored in (({"Public": "secret"}, frozenset()), ({}, {"Public"}), ({"x": "public"}, {"x"})):
        with pytest.raises(ConfigurationError, match="has a meaning already"):
            known_levels()["openmetadata"].with_more(mapped, frozenset(ignored))
    with pytest.raises(ConfigurationError, match="--map"):
        known_levels()["openmetadata"].with_more({"x": "harmless"}, frozenset())


def test_what_is_printed_is_a_file_that_loads_and_says_the_same(tmp_path: Path) -> None:
    """Quotes, hashes and other languages in a name survive."""
    found = read("tlp", 'kind,pattern,tlp,owner\nurl,https://a.example.com/é/*,TLP:RED,"a: ""b"" # c"\n')
    text = as_yaml(found, "tlp")
    (entry,) = yaml.safe_load(text)["destinations"]
    assert entry == {
        "kind": "url", "pattern": "https://a.example.com/é/*", "sensitivity": "secret", "owner": 'a: "b" # c',
    }  # fmt: skip
    assert yaml.safe_load(as_yaml(Imported((), 0), "tlp"))["destinations"] == []


DOCS = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")


@pytest.mark.parametrize("source", sorted(READERS))
def test_the_table_in_the_docs_is_the_table(source: str) -> None:
    """Reviewers read the page, the program reads the file."""
    rows = [line.split("|") for line in DOCS.splitlines() if line.startswith("| `")]
    column = {"fips199": 2, "tlp": 3, "openmetadata": 4, "datahub": 4, "ocsf": 5}[source]
    shown = {cells[1].strip(" `"): cells[column] for cells in rows if len(cells) == 7 and "TLP:" in cells[3]}
    levels = known_levels()[source].levels
    for level in Sensitivity:
        ours = {word for word, meant in levels.items() if meant is level}
        if source == "ocsf":
            theirs = {part.split()[0] for part in shown[level.word].split(",") if part.strip()[:1].isdigit()}
        else:
            theirs = {part.strip(" `") for part in shown[level.word].split(",")} - {"—"}
        assert theirs == ours
