"""Generated spellings of a forbidden place: none is permitted, and no two of one place are judged differently."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.core.declarations import CatalogEntry, DestinationDeclaration, Source
from agentguard.core.values import Sensitivity, Unavailable
from agentguard.destinations import Catalog, derive, rewrite

HERE = Source("d.yaml", 1)


def entry(kind: str, pattern: str, word: str) -> CatalogEntry:
    return CatalogEntry(kind, pattern, Sensitivity.parse(word), None, None, None, None, HERE)


CATALOG = Catalog(
    [
        entry("url", "http://a.example.com/*", "public"),
        entry("url", "http://a.example.com/secret/*", "secret"),
        entry("path", "/srv/*", "public"),
        entry("path", "/srv/secret/*", "secret"),
        entry("email", "*@example.com", "public"),
        entry("email", "boss@example.com", "secret"),
        entry("sql", "postgres:s.*", "public"),
        entry("sql", "postgres:s.secret", "secret"),
        entry("git", "github.com/o/*", "public"),
        entry("git", "github.com/o/secret", "secret"),
        entry("object", "s3://bucket/*", "public"),
        entry("object", "s3://bucket/secret/*", "secret"),
    ]
)


def judged(kind: str, value: str, **options: str) -> Sensitivity | None:
    """The sensitivity, or None where the call is refused or unclassified: not permitted either way."""
    found = derive([DestinationDeclaration(kind, "to", None, dict(options), False, HERE)], {"to": value}, CATALOG)
    return None if isinstance(found, Unavailable) else found[0].sensitivity


def escaped(letter: str) -> st.SearchStrategy[str]:
    """Ways to write one letter in a URL's path that some server reads as that letter."""
    code = f"{ord(letter):02x}"
    return st.sampled_from([letter, f"%{code}", f"%{code.upper()}", f"%25{code}", chr(ord(letter) + 0xFEE0)])


def spelled(word: str) -> st.SearchStrategy[str]:
    return st.tuples(*(escaped(letter) for letter in word)).map("".join)


NOISE = st.sampled_from(
    ["", "/", "./", "%2e/", "x/../", "x/%2e%2e/", ";a=b/", "%2f", "\\", "\t", "%00", "%c0%af", "//"]
)
CASE = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])


@settings(max_examples=400)
@given(NOISE, spelled("secret"), st.sampled_from(["", "/", "/x", "/x?y", "#z", ";v=1", "%2fx"]), CASE, st.booleans())
def test_no_spelling_of_a_forbidden_url_is_public(noise: str, word: str, tail: str, case: object, port: bool) -> None:
    """Whatever a client or server folds into `/secret` is secret here, or refused."""
    host = case("a.example.com") + (":80" if port else "")  # type: ignore[operator]
    assert judged("url", f"http://{host}/{noise}{word}{tail}") is not Sensitivity.PUBLIC


@given(
    st.sampled_from(["", "/", "./", "x/../", "\\", "\0", "\uff0e/"]),
    st.sampled_from(["", "/", "/x", "/./x", "//x"]),
)
def test_no_spelling_of_a_forbidden_path_is_public(noise: str, tail: str) -> None:
    """Relative, doubled, dotted: one directory."""
    for value in (
        f"/srv/{noise}secret{tail}",
        f"{noise}secret{tail}",
        f"./{noise}secret{tail}",
        f"/{noise}srv/secret{tail}",
    ):
        assert judged("path", value, root="/srv") is not Sensitivity.PUBLIC


@given(
    CASE,
    st.sampled_from(["", "+x", "+", "(x)", " "]),
    st.sampled_from(["", '"', "<"]),
    st.sampled_from(["", ".", " ", ">"]),
)
def test_no_spelling_of_a_forbidden_mailbox_is_public(case: object, tag: str, before: str, after: str) -> None:
    """Tags, comments, quotes and case all reach the same person."""
    local, domain = case("boss"), case("example.com")  # type: ignore[operator]
    assert judged("email", f"{before}{local}{tag}{before}@{domain}{after}") is not Sensitivity.PUBLIC


@given(
    CASE,
    st.sampled_from(["secret", '"secret"', "/**/secret", "secret as p", "only secret", 'U&"secret"']),
    st.sampled_from(["s.", '"s".', "s . ", "S."]),
    st.sampled_from(
        ["select * from {}", "table {}", "select (select 1 from {}) from s.a", "with a as (select * from {}) table a"]
    ),
)
def test_no_spelling_of_a_forbidden_table_is_public(case: object, name: str, schema: str, frame: str) -> None:
    """Case, quotes, comments, nesting: one table."""
    sql = frame.format(schema + name)
    found = derive(
        [DestinationDeclaration("sql", "q", None, {"dialect": "postgres"}, False, HERE)], {"q": sql}, CATALOG
    )
    assert isinstance(found, Unavailable) or any(one.sensitivity is Sensitivity.SECRET for one in found)
    swapped = case(sql)  # type: ignore[operator]
    again = derive(
        [DestinationDeclaration("sql", "q", None, {"dialect": "postgres"}, False, HERE)], {"q": swapped}, CATALOG
    )
    assert isinstance(again, Unavailable) or any(one.sensitivity is Sensitivity.SECRET for one in again)


@given(
    CASE,
    st.sampled_from(["https://{}/{}", "ssh://git@{}/{}", "git@{}:{}", "ssh://{}:22/{}"]),
    st.sampled_from(["", ".git", "/", ".git/"]),
)
def test_no_spelling_of_a_forbidden_repository_is_public(case: object, form: str, tail: str) -> None:
    """Protocols, case and suffixes: one repository."""
    value = form.format(case("github.com"), case("o/secret") + tail)  # type: ignore[operator]
    assert judged("git", value) is not Sensitivity.PUBLIC


@given(
    spelled("secret"),
    st.sampled_from(["s3://bucket/", "https://bucket.s3.amazonaws.com/", "https://s3.amazonaws.com/bucket/"]),
)
def test_no_spelling_of_a_forbidden_object_is_public(word: str, base: str) -> None:
    """The bucket's names and the key's escapes: one object."""
    value = f"{base}{word}/x"
    # `s3://` has no escapes: there, `%73ecret` is another key, which is refused all the same.
    assert judged("object", value) is not Sensitivity.PUBLIC


@settings(max_examples=300)
@given(
    st.text(alphabet="aA.:/@%2eE-_+~?#[]1 ", max_size=20),
    st.sampled_from(["url", "host", "ip", "path", "email", "iban"]),
)
def test_rewriting_twice_changes_nothing_and_is_judged_alike(text: str, kind: str) -> None:
    """What the tool is given must be what was judged."""
    declarations = [DestinationDeclaration(kind, "to", None, {}, False, HERE)]
    for value in (text, f"http://a.example.com/{text}", f"/srv/{text}", f"{text}@example.com"):
        first = rewrite(declarations, {"to": value})
        assert rewrite(declarations, first) == first
        assert derive(declarations, first, CATALOG) == derive(declarations, {"to": value}, CATALOG)
