"""Who is whom: spellings of one name are one, and really different workloads stay two."""

from __future__ import annotations

import pytest

from agentguard.core.people import are_meant, who, who_for, who_is_in

SAME = [
    ("user:eli", "user:Eli"),
    ("user:eli", "USER:eli"),
    ("user:eli", "user: Eli "),
    ("user:eli", "user:user:eli"),
    ("user:eli", "ｕｓｅｒ:ｅｌｉ"),
    ("user:straße", "user:STRASSE"),
    ("user:josé", "user:jose\u0301"),
    ("user:eli", "user:e\u200bli"),
    ("user:eli@corp.example", "user:Eli@Corp.Example."),
    ("user:eli@bücher.example", "user:eli@xn--bcher-kva.example"),
    ("agent:exporter", "Agent:Exporter"),
    ("agent:exporter", "agent:\u200bexporter"),
    ("vault-token", "Vault-Token"),
    ("spiffe://corp.example/agent/a", "SPIFFE://corp.example/agent/a"),
    ("spiffe://corp.example/agent/a", "spiffe://Corp.Example/agent/a"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example./agent/a"),
    ("spiffe://corp.example/agent/a", "spiffe://ｃｏｒｐ.example/agent/a"),
    ("https://idp.example#jane", "HTTPS://IDP.example#jane"),
    ("https://idp.example#jane", "https://idp.example:443#jane"),
    ("https://idp.example#jane", "https://idp.example/#jane"),
    ("https://idp.example#jane", "https://idp.example.#jane"),
    ("https://idp.example#Jane@corp.example", "https://idp.example#jane@Corp.example"),
    ("https://idp.example/t#é", "https://idp.example/t#e\u0301"),
    ("https://bücher.example#jane", "https://xn--bcher-kva.example#jane"),
]
DIFFERENT = [
    ("user:eli", "user:elif"),
    ("user:eli", "agent:eli"),
    ("user:eli", "eli"),
    ("user:eli", "https://idp.example#eli"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example/agent/A"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example/agent/a."),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example/agent/a/"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example/agent//a"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example/agent/ａ"),
    ("spiffe://corp.example/agent/a", "spiffe://corp.example.evil/agent/a"),
    ("spiffe://corp.example/agent/a", "wimse://corp.example/agent/a"),
    ("spiffe://corp.example/agent", "spiffe://corp.example/agent/a"),
    ("https://idp.example#jane", "https://idp.example#Jane"),
    ("https://idp.example#AbC-_", "https://idp.example#aBc-_"),
    ("https://idp.example#jane", "https://idp.example:8443#jane"),
    ("https://idp.example#jane", "http://idp.example#jane"),
    ("https://idp.example/a#jane", "https://idp.example/A#jane"),
    ("https://sts.windows.net/T/#x", "https://sts.windows.net/T#x"),
    ("https://idp.example#repository/7/42", "https://idp.example#repository/7/420"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_name_are_one(one: str, other: str) -> None:
    """Whoever takes power away must not have to guess how a name was written."""
    assert who(one) == who(other)
    assert are_meant(one, other, None)
    assert are_meant(other, one, None)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_workloads_are_two(one: str, other: str) -> None:
    """SPIFFE paths and the subjects of OIDC tell case apart: stopping one must not stop the other."""
    assert who(one) != who(other)
    assert not are_meant(one, other, None)


@pytest.mark.parametrize("name", [name for pair in SAME + DIFFERENT for name in pair])
def test_what_stands_for_a_name_stands_for_itself(name: str) -> None:
    assert who(who(name)) == who(name)
    assert who_for(who_for(name)) == who_for(name)


@pytest.mark.parametrize("requester", ["eli", "Eli", "user:eli", "USER: Eli", "ｅｌｉ"])
def test_whom_a_run_is_for_is_a_person_with_or_without_the_word(requester: str) -> None:
    assert who_for(requester) == "user:eli"
    assert are_meant("user:ELI", "agent:a", requester)
    assert not are_meant("user:elif", "agent:a", requester)


def test_a_workload_is_not_the_person_of_the_same_name() -> None:
    assert not are_meant("user:eli", "eli", None)
    assert who_is_in("eli", None) == {"eli"}
    assert who_is_in("spiffe://a/B", "https://idp.example/#Jane") == {"spiffe://a/B", "https://idp.example#Jane"}
    assert are_meant("Eli", "agent:a", "eli")
    assert not are_meant("eli", "agent:a", "user:eli")


@pytest.mark.parametrize(
    "name", ["", "://", "#", "user:", "a://#@", "https://#", "@", "x" * 4096, "\u0301" * 2000, "..@.."]
)
def test_no_name_is_too_strange(name: str) -> None:
    """A name from outside must not stop what takes power away."""
    assert who(who(name)) == who(name)
