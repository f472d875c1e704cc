"""URLs: one host that every client agrees on, or a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from clients import CLIENTS
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.destinations import Ambiguous, find_kind
from agentguard.destinations.kinds import Derived

HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "url_cases.yaml").read_text())
HOSTILE = json.loads((HERE / "vectors" / "hostile_urls.json").read_text())


def derive(value: object, **options: object) -> Derived:
    kind = find_kind("url")
    assert kind is not None
    return kind.derive(value, options)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["value"]))
def test_each_spelling_has_the_answer_written_down(case: dict[str, str]) -> None:
    """The table is the promise; a case that changes its answer changes a decision."""
    derived = derive(case["value"])
    if "refused" in case:
        assert derived == Ambiguous(case["refused"])
    else:
        assert not isinstance(derived, Ambiguous)
        assert [place.id for place in derived] == [case["id"]]


def corpus() -> list[tuple[str, str]]:
    lines = (HERE / "url_hostile.tsv").read_text("utf-8").splitlines()
    return [(json.loads(text), said) for text, said in (line.split("\t") for line in lines if line[0] != "#")]


def test_each_line_of_the_corpus_has_the_answer_written_down() -> None:
    """Every trick that is known or that we could think of, with the place it leads to, or a refusal."""
    wrong = []
    for text, said in corpus():
        derived = derive(text)
        if said != ("refused" if isinstance(derived, Ambiguous) else derived[0].id):
            wrong.append((text, said, derived))
    assert wrong == []
    assert len(corpus()) > 400


def test_no_ordinary_address_is_refused() -> None:
    """A guard that refuses everything is switched off."""
    lines = [line for line in (HERE / "url_harmless.txt").read_text("utf-8").splitlines() if line[0] != "#"]
    assert len(lines) > 100
    assert [(line, derive(line)) for line in lines if isinstance(derive(line), Ambiguous)] == []


def test_every_client_reads_what_the_corpora_accept_alike() -> None:
    """The corpus says what we read; these say what would be connected to, in both spellings."""
    harmless = (HERE / "url_harmless.txt").read_text("utf-8").splitlines()[1:]
    for text in [text for text, said in corpus() if said != "refused"] + harmless:
        derived = derive(text)
        assert not isinstance(derived, Ambiguous)
        ours = {(derived[0].parts["host"].strip("[]"), int(derived[0].parts["port"]))}
        assert agreed_host(text) == agreed_host(derived[0].id) == ours


def agreed_host(url: str) -> set[tuple[str, int] | str]:
    return {client(url) for client in CLIENTS.values()}


@pytest.mark.parametrize("value", HOSTILE + [case["value"] for case in CASES], ids=ascii)
def test_an_accepted_url_leads_every_client_to_the_same_host(value: str) -> None:
    """Checker and client must not read two hosts out of one text, in either spelling."""
    derived = derive(value)
    if isinstance(derived, Ambiguous):
        return
    (place,) = derived
    ours = {(place.parts["host"].strip("[]"), int(place.parts["port"]))}
    assert agreed_host(place.id) == ours
    assert agreed_host(value.replace("\u00f6", "%C3%B6")) == ours


PIECES = st.sampled_from(
    [
        "https://",
        "http://",
        "HTTP://",
        "good.com",
        "evil.com",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "0x7f.1",
        "2130706433",
        "@",
        ":",
        ":80",
        ":443",
        ":8080",
        "/",
        "//",
        "?",
        "#",
        "\\",
        "%",
        "%2f",
        "%2e",
        "..",
        ".",
        ";",
        ",",
        "!",
        "|",
        "[",
        "]",
        "user",
        "a",
        "b",
        "secret",
        "%73",
        "%C3%BC",
        "ü",
        "\t",
        "\n",
        "\x00",
        "。",
        "／",
        "xn--pple-43d",
        "münchen.de",
        "ß",
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@settings(max_examples=500)
@given(st.one_of(TEXTS, TEXTS.map("https://".__add__), TEXTS.map("https://good.com/".__add__)))
def test_no_arrangement_of_hostile_pieces_splits_the_clients(value: str) -> None:
    """What nobody thought of: generated mixtures are refused, or read alike by all."""
    derived = derive(value)
    if isinstance(derived, Ambiguous):
        return
    (place,) = derived
    assert agreed_host(place.id) == {(place.parts["host"].strip("[]"), int(place.parts["port"]))}
    assert derive(place.id) == derived


@pytest.mark.parametrize("options", [{"schemes": "https"}, {"schemes": []}, {"schemes": ["gopher"]}, {"schemes": [1]}])
def test_a_wrong_option_refuses_everything(options: dict[str, object]) -> None:
    """A typing mistake in a declaration must not widen what is accepted."""
    assert derive("https://good.com/", **options) == Ambiguous("bad_option")


def test_schemes_can_be_narrowed_to_https() -> None:
    """An owner who says https means it."""
    assert derive("http://good.com/", schemes=["https"]) == Ambiguous("scheme_not_allowed")
    assert not isinstance(derive("https://good.com/", schemes=["https"]), Ambiguous)
