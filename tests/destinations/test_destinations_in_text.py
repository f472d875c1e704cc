"""Places in a text are destinations of the call: each is derived, each is judged, and none of them is rewritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.reasons import Reason
from agentguard.core.values import Sensitivity, Unavailable
from agentguard.destinations import Catalog, compared, declaration_problem, derive, other_spellings, rewrite

HERE = Source("tools.yaml", 4)
CATALOG = Catalog([
    CatalogEntry("url", "https://shop.example/*", Sensitivity.INTERNAL, None, None, None, None, HERE),
    CatalogEntry("email", "*@shop.example", Sensitivity.INTERNAL, None, None, None, None, HERE),
])  # fmt: skip
CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "vectors" / "links.yaml").read_text())


def in_text(kind: str = "url", argument: str = "body", optional: bool = False) -> DestinationDeclaration:
    return DestinationDeclaration(kind, argument, None, {}, optional, HERE, in_text=True)


def found(text: Any, *kinds: str) -> Any:
    return derive([in_text(kind) for kind in kinds or ("url",)], {"body": text}, CATALOG)


@pytest.mark.parametrize("case", CORPUS["links"], ids=lambda case: case["text"][:60])
def test_every_link_of_the_corpus_is_a_destination_or_a_refusal(case: dict[str, Any]) -> None:
    """The same corpus as `links: none`: what is a link there leads somewhere here, or the call is refused."""
    places, leads = found(case["text"]), case.get("leads", [])
    if leads == "nowhere" or (isinstance(places, Unavailable) and case.get("also") == "nowhere"):
        assert isinstance(places, Unavailable)
        assert places.reason is Reason.DESTINATION_AMBIGUOUS
        return
    assert {place.id for place in places} >= set(leads)
    if not case.get("also"):
        assert {place.id for place in places} == set(leads)


@pytest.mark.parametrize(
    "case", [case for case in CORPUS["links"] if case.get("writes")], ids=lambda case: case["text"][:60]
)
def test_every_address_of_the_corpus_is_a_destination_or_a_refusal(case: dict[str, Any]) -> None:
    """An address that no mailbox can have is refused, as it is in an argument of its own."""
    places = found(case["text"], "email")
    if isinstance(places, Unavailable):
        assert case.get("also") or "localhost" in case["text"]
    else:
        assert {place.id for place in places} >= set(case["writes"])


@pytest.mark.parametrize("text", CORPUS["plain"])
def test_a_text_without_links_leads_nowhere(text: str) -> None:
    """Nothing is missing then: a text need not hold a link."""
    assert found(text, "url", "email", "host") == ()


def test_every_place_in_a_text_is_judged_by_itself() -> None:
    """One known place does not cover for an unknown one."""
    places = found("see https://shop.example/a and https://evil.example/ or ask eve@evil.example", "url", "email")
    assert {(place.id, place.sensitivity) for place in places} == {
        ("https://shop.example/a", Sensitivity.INTERNAL), ("https://evil.example/", None), ("eve@evil.example", None),
    }  # fmt: skip


def test_a_host_is_found_where_an_address_of_the_web_stands() -> None:
    """Kind `host` judges by the host alone, and refuses what could be read as two."""
    assert [place.id for place in found("see HTTP://Evil.example:8080/x?y", "host")] == ["evil.example:8080"]
    assert isinstance(found("https://good.example@evil.example", "host"), Unavailable)


def test_a_text_that_could_not_be_looked_at_spoils_the_call() -> None:
    """Too long, too many links, or no text at all: nobody knows where it leads."""
    for text in ("x" * 70_000, " ".join(f"https://h{n}.example/" for n in range(201)), 5, ["https://shop.example/"]):
        assert isinstance(found(text), Unavailable)
    assert isinstance(derive([in_text()], {}, CATALOG), Unavailable)
    assert derive([in_text(optional=True)], {"body": None}, CATALOG) == ()


def test_a_text_is_handed_on_as_it_came() -> None:
    """No place in it is respelt, for the tool, for conditions or for the record."""
    arguments: dict[str, Any] = {"body": "HTTPS://Shop.example/a"}
    assert rewrite([in_text()], arguments) == compared([in_text()], arguments) == arguments
    assert other_spellings([in_text()], arguments, {"site": "https://shop.example/a"}) == {}


def test_texts_in_a_list_are_each_looked_at() -> None:
    """`found_in: text` follows a path like any other destination."""
    places = derive(
        [in_text(argument="notes[*].body")], {"notes": [{"body": "a"}, {"body": "https://evil.example"}]}, CATALOG
    )
    assert not isinstance(places, Unavailable)
    assert [place.id for place in places] == ["https://evil.example/"]


def test_only_kinds_that_stand_in_texts_are_looked_for_in_them() -> None:
    """Told when the bundle is loaded."""
    assert declaration_problem(in_text("sql")) is not None
    assert "email, host, url" in str(
        declaration_problem(DestinationDeclaration("path", "b", None, {}, False, HERE, in_text=True))
    )
    assert declaration_problem(in_text("email")) is None
