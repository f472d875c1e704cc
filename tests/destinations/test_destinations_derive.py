"""Arguments to destinations, and back into the arguments the tool is given."""

from __future__ import annotations

import copy

import pytest

from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.reasons import Reason
from agentguard.core.values import Json, Sensitivity, Unavailable
from agentguard.destinations import (
    Catalog,
    compared,
    declaration_problem,
    derive,
    other_spellings,
    parse_path,
    rewrite,
)
from agentguard.destinations.kinds.url import URL_KIND

HERE = Source("tools.yaml", 4)
CATALOG = Catalog(
    [CatalogEntry("url", "https://a.example.com/*", Sensitivity.INTERNAL, "office", "it", "web", None, HERE)]
)


def declare(argument: str | None, kind: str = "url", optional: bool = False, **extra: Json) -> DestinationDeclaration:
    fixed = extra.pop("fixed", None)
    assert fixed is None or isinstance(fixed, str)
    return DestinationDeclaration(kind, argument, fixed, extra, optional, HERE)


def ids(found: object) -> list[str]:
    assert isinstance(found, tuple), found
    return [destination.id for destination in found]


def test_a_destination_carries_what_the_catalog_says() -> None:
    """Sensitivity, zone, owner and category come from the entry; unlisted is None."""
    found = derive([declare("to")], {"to": "HTTPS://A.example.com/x"}, CATALOG)
    assert isinstance(found, tuple)
    (one,) = found
    assert (one.kind, one.id, one.sensitivity, one.zone, one.owner, one.category) == (
        "url", "https://a.example.com/x", Sensitivity.INTERNAL, "office", "it", "web",
    )  # fmt: skip
    other = derive([declare("to")], {"to": "https://b.example.com/"}, CATALOG)
    assert isinstance(other, tuple)
    assert other[0].sensitivity is None


def test_a_place_that_an_argument_named_is_told_from_the_tools_own() -> None:
    """Somebody may have talked the agent into the first. One that is both was named, in whatever order they stand."""
    own, named = "https://a.example.com/own", "https://a.example.com/named"
    fixed, both = declare(None, fixed=own), declare("to[*]")
    for declarations in ([fixed, both], [both, fixed]):
        for places, chosen in (([named], {own: False, named: True}), ([own], {own: True})):
            found = derive(declarations, {"to": list(places)}, CATALOG)
            assert isinstance(found, tuple)
            assert {place.id: place.chosen for place in found} == chosen


DEEP: dict[str, Json] = {
    "request": {"url": "https://A.example.com/1", "x.y": {"z": "https://A.example.com/2"}},
    "to": [{"address": "https://A.example.com/3"}, {"address": "https://A.example.com/4"}],
    "grid": [["https://A.example.com/5"], ["https://A.example.com/6", "https://A.example.com/5"]],
}


@pytest.mark.parametrize(
    ("path", "numbers"),
    [("request.url", "1"), ('request["x.y"].z', "2"), ("to[*].address", "34"), ("grid[*][*]", "56")],
)
def test_any_depth_and_lists_are_reached_and_rewritten(path: str, numbers: str) -> None:
    """Arguments of real tools are nested; the canonical form goes back exactly where the original was."""
    before = copy.deepcopy(DEEP)
    assert ids(derive([declare(path)], DEEP, CATALOG)) == [f"https://a.example.com/{n}" for n in numbers]
    after = rewrite([declare(path)], DEEP)
    assert before == DEEP
    text = str(after)
    for n in "123456":
        assert (f"https://a.example.com/{n}" in text) == (n in numbers)
    assert str(after).lower() == str(DEEP).lower()


@pytest.mark.parametrize("arguments", [{}, {"to": None}, {"to": {}}, {"to": {"url": None}}])
def test_a_missing_argument_is_a_missing_destination_unless_optional(arguments: dict[str, Json]) -> None:
    """No destination must not mean a harmless one."""
    found = derive([declare("to.url")], arguments, CATALOG)
    assert isinstance(found, Unavailable)
    assert found.reason is Reason.DESTINATION_MISSING
    assert derive([declare("to.url", optional=True)], arguments, CATALOG) == ()


def test_an_empty_list_is_a_missing_destination() -> None:
    """All of nothing is no."""
    found = derive([declare("to[*]")], {"to": []}, CATALOG)
    assert isinstance(found, Unavailable)
    assert found.reason is Reason.DESTINATION_MISSING


@pytest.mark.parametrize(
    ("path", "arguments", "slug"),
    [
        ("to", {"to": ["https://a.example.com/"]}, "not_a_string"),
        ("to", {"to": {"url": "https://a.example.com/"}}, "not_a_string"),
        ("to", {"to": 7}, "not_a_string"),
        ("to", {"to": False}, "not_a_string"),
        ("to", {"to": ""}, "empty"),
        ("to[*]", {"to": "https://a.example.com/"}, "not_a_list"),
        ("to[*]", {"to": {"0": "https://a.example.com/"}}, "not_a_list"),
        ("to.url", {"to": "https://a.example.com/"}, "not_an_object"),
        ("to.url", {"to": [{"url": "https://a.example.com/"}]}, "not_an_object"),
        ("to[*]", {"to": ["https://a.example.com/", "https://x@y/"]}, "userinfo"),
        ("to[*]", {"to": ["https://a.example.com/"] * 1000}, "too_many"),
        ("to..x", {"to": "x"}, "bad_argument_path"),
    ],
)
def test_another_shape_is_ambiguous(path: str, arguments: dict[str, Json], slug: str) -> None:
    """A rule that meets another type must not quietly find nothing; one bad element spoils all."""
    found = derive([declare(path, optional=True)], arguments, CATALOG)
    assert isinstance(found, Unavailable)
    assert found.reason is Reason.DESTINATION_AMBIGUOUS
    assert found.detail.startswith(slug + ":")


def test_an_unknown_kind_is_ambiguous() -> None:
    """A kind whose package is not installed must not drop out of the check."""
    found = derive([declare("to", kind="nonsense")], {"to": "x"}, CATALOG)
    assert isinstance(found, Unavailable)


def test_a_fixed_destination_needs_no_argument() -> None:
    """A tool that always talks to one place says so."""
    assert ids(derive([declare(None, fixed="https://a.example.com/")], {}, CATALOG)) == ["https://a.example.com/"]


def test_the_same_place_is_listed_once_and_order_is_kept() -> None:
    """Two spellings of one place are one destination."""
    found = derive(
        [declare("b"), declare("a")],
        {"a": "https://a.example.com/", "b": "HTTPS://a.example.com:443"},
        CATALOG,
    )
    assert ids(found) == ["https://a.example.com/"]


def test_a_dsn_is_not_rewritten_because_its_id_has_no_password() -> None:
    """The tool must still be able to log in."""
    arguments: dict[str, Json] = {"dsn": "postgres://u:p@h/db"}
    assert rewrite([declare("dsn", kind="dsn")], arguments) == arguments


def test_a_mailbox_is_compared_in_lower_case_and_reached_as_it_was_written() -> None:
    """Only the mailbox's own server knows whether case matters there."""
    arguments: dict[str, Json] = {"to": ["Jane@Corp.Example", "https://A.example.com/"]}
    mail = [declare("to[*]", kind="email")]
    assert rewrite(mail, arguments) == arguments
    assert compared(mail, arguments) == {"to": ["jane@corp.example", "https://A.example.com/"]}


def test_other_spellings_of_a_calls_places_are_told_with_their_ids() -> None:
    """A run's inputs may have any of them; what names no place of this call stays what it is."""
    inputs: dict[str, Json] = {
        "a": "HTTPS://A.example.com:443/x",
        "b": ["https://a.example.com/x", "https://b.example.com/x", {"https://A.EXAMPLE.com/x": 7}],
    }
    found = other_spellings([declare("to")], {"to": "https://A.example.com/x"}, inputs, {})
    assert found == dict.fromkeys(
        ("https://A.example.com/x", "HTTPS://A.example.com:443/x", "https://A.EXAMPLE.com/x"), "https://a.example.com/x"
    )
    for nothing in ({}, {"to": None}, {"to": 7}, {"to": "https://x@y/"}):
        assert other_spellings([declare("to")], nothing, inputs) == {}
    assert other_spellings([declare(None, fixed="https://A.example.com/x")], {}, inputs) == {}


def test_a_text_that_names_two_places_of_a_call_names_none() -> None:
    """The same name below two roots: nobody knows which is meant."""
    roots = [declare("from", kind="path", root="/a"), declare("to", kind="path", root="/b")]
    assert other_spellings(roots, {"from": "x", "to": "y"}) == {"x": "/a/x", "y": "/b/y"}
    assert other_spellings(roots, {"from": "x", "to": "x"}) == {}
    assert other_spellings(roots, {"from": "x", "to": "y"}, {"file": "./y"}) == {
        "x": "/a/x",
        "y": "/b/y",
        "./y": "/b/y",
    }


@pytest.mark.parametrize(
    "bad", ["", ".", "a.", ".a", "a..b", "[*]", "a[0]", "a[", "a[*", "a b", 'a["x]', 'a["\\q"]', "a" * 600]
)
def test_a_malformed_argument_path_is_refused_when_loaded(bad: str) -> None:
    """A path that can never match would leave a destination unjudged."""
    with pytest.raises(ValueError, match="not an argument path"):
        parse_path(bad)
    assert declaration_problem(declare(bad)) is not None


@pytest.mark.parametrize(
    "declaration",
    [
        declare("to", kind="nonsense"),
        declare("to", schemas=["https"]),
        declare("to", schemes="https"),
        declare(None, fixed="https://x@y/"),
        declare("to", kind="path", root="data"),
    ],
)
def test_a_wrong_declaration_has_a_problem_that_can_be_shown(declaration: DestinationDeclaration) -> None:
    """Mistakes show when the bundle is loaded."""
    assert declaration_problem(declaration)
    assert declaration_problem(declare("to")) is None


@pytest.mark.parametrize(
    ("kind", "options"),
    [("channel", {"servce": "slack"}), ("sql", {"dialct": "postgres"}), ("pattern", {"nam": "queue"})],
)
def test_a_misspelt_option_is_named_before_the_one_it_leaves_out(kind: str, options: dict[str, Json]) -> None:
    """ "`service` must be a word" sends its reader to a line that has one."""
    problem = declaration_problem(declare("to", kind=kind, **options))

    assert problem is not None
    assert f"`{next(iter(options))}` is not an option" in problem


def test_a_statement_that_reaches_no_table_needs_no_destination() -> None:
    """`select now()`: every function in it is listed, so that it is certain. One that is not listed is a refusal."""
    declaration = declare("sql", kind="sql", dialect="postgres")
    assert derive([declaration], {"sql": "select 1, now()"}, CATALOG) == ()
    refused = derive([declaration], {"sql": "select pg_sleep(9)"}, CATALOG)
    assert isinstance(refused, Unavailable)
    assert refused.detail == "function_not_allowed: `sql`"


def test_a_kind_that_failed_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a text comes to is remembered; that a kind broke is not, or an honest address stays refused for ever."""
    address, read = "https://a.example.com/once-broken", URL_KIND.read

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(URL_KIND), "read", broken)
    failed = derive([declare("to")], {"to": address}, CATALOG)
    assert isinstance(failed, Unavailable) and "kind_failed" in failed.detail
    monkeypatch.setattr(type(URL_KIND), "read", lambda _, *given: read(*given))
    assert ids(derive([declare("to")], {"to": address}, CATALOG)) == [address]
