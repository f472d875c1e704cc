"""The catalog: the most specific entry wins, whole labels and segments only."""

from __future__ import annotations

import pytest

from agentguard.core.declarations import CatalogEntry, Source
from agentguard.core.values import Sensitivity
from agentguard.destinations import Ambiguous, Catalog, find_kind
from agentguard.destinations.derive import classified, safely
from agentguard.errors import PolicyError


def entry(
    kind: str, pattern: str, word: str, line: int = 1, zone: str | None = None, promises: tuple[str, ...] = ()
) -> CatalogEntry:
    source = Source("destinations.yaml", line)
    return CatalogEntry(kind, pattern, Sensitivity.parse(word), zone, None, None, None, source, frozenset(promises))


NOTHING_ELSE = ("starts_nothing_else",)


def worth(catalog: Catalog, kind_name: str, value: str) -> str | None:
    kind = find_kind(kind_name)
    assert kind is not None
    derived = kind.derive(value, {})
    assert not isinstance(derived, Ambiguous), derived
    found = catalog.classify(derived[0]).sensitivity
    return None if found is None else found.word


URLS = Catalog(
    [
        entry("url", "https://api.example.com/*", "internal", 1),
        entry("url", "https://api.example.com/secret/*", "secret", 2),
        entry("url", "https://api.example.com/secret/but/public", "public", 3),
        entry("url", "https://*.example.com/*", "confidential", 4),
        entry("url", "https://*.deep.example.com/*", "restricted", 5),
        entry("url", "http://api.example.com:8080/*", "restricted", 6),
        entry("url", "https://api.example.com/@admin/*", "secret", 7),
    ]
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://api.example.com/", "internal"),
        ("https://api.example.com/x", "internal"),
        ("https://api.example.com/secret", "secret"),
        ("https://api.example.com/secret/x", "secret"),
        ("https://api.example.com/%73ecret/x", "secret"),
        ("https://API.example.com:443/secret/x?y#z", "secret"),
        ("https://api.example.com/secrets", "internal"),
        ("https://api.example.com/secret/but/public", "public"),
        ("https://api.example.com/secret/but/public/x", "secret"),
        ("https://api.example.com/%40admin/x", "secret"),
        ("https://www.example.com/secret/x", "confidential"),
        ("https://a.b.example.com/", "confidential"),
        ("https://a.deep.example.com/", "restricted"),
        ("https://deep.example.com/", "confidential"),
        ("https://example.com/", None),
        ("https://evilexample.com/", None),
        ("https://api.example.com.evil.com/", None),
        ("https://api.example.com:8443/", None),
        ("http://api.example.com/", None),
        ("http://api.example.com:8080/x", "restricted"),
    ],
)
def test_the_most_specific_url_pattern_wins(value: str, expected: str | None) -> None:
    """Whole labels and whole segments; what no pattern covers is unclassified, never public."""
    assert worth(URLS, "url", value) == expected


OTHERS = Catalog(
    [
        entry("host", "db.example.com", "internal"),
        entry("host", "db.example.com:5432", "restricted"),
        entry("host", "*.example.com", "public"),
        entry("ip", "10.0.0.0/8", "internal"),
        entry("ip", "10.1.0.0/16", "confidential"),
        entry("ip", "10.1.2.3", "secret"),
        entry("ip", "::1", "internal"),
        entry("path", "/srv/*", "internal"),
        entry("path", "/srv/hr/*", "secret"),
        entry("dsn", "postgresql://db.example.com/sales", "restricted"),
        entry("dsn", "postgresql://db.example.com/*", "internal"),
        entry("dsn", "postgresql://*.example.com/*", "public"),
        entry("dsn", "snowflake://xy98765.eu-west-2/prod", "restricted"),
        entry("dsn", "snowflake://my_org-acct/*", "internal"),
        entry("dsn", "bigquery://my-project-1", "confidential"),
        entry("dsn", "mongodb+srv://cluster0.ab.mongodb.net/*", "internal"),
        entry("dsn", "duckdb:////srv/x.duckdb", "internal"),
        entry("email", "ceo@example.com", "secret"),
        entry("email", "*@example.com", "internal"),
        entry("email", "*@*.example.com", "confidential"),
        entry("object", "s3://bucket/*", "internal"),
        entry("object", "s3://bucket/hr/*", "secret"),
        entry("object", "az://account1/data/*", "internal"),
        entry("git", "github.com/owner/*", "internal"),
        entry("git", "github.com/owner/secrets", "secret"),
        entry("git", "*.example.com/*", "confidential"),
        entry("command", "wc *", "restricted", promises=NOTHING_ELSE),
        entry("command", "wc -l *", "internal", promises=NOTHING_ELSE),
        entry("command", "git log 'HEAD~1' \"a b\"", "public"),
        entry("iban", "DE89370400440532013000", "internal"),
        entry("iban", "GB*", "restricted"),
    ]
)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("host", "db.example.com:5432", "restricted"),
        ("host", "db.example.com:22", "internal"),
        ("host", "db.example.com", "internal"),
        ("host", "x.example.com:5432", "public"),
        ("host", "example.com", None),
        ("ip", "10.9.9.9", "internal"),
        ("ip", "10.1.9.9", "confidential"),
        ("ip", "10.1.2.3", "secret"),
        ("ip", "11.0.0.1", None),
        ("ip", "::1", "internal"),
        ("ip", "::2:0:0:1", None),
        ("path", "/srv/x", "internal"),
        ("path", "/srv/hr/x", "secret"),
        ("path", "/srv//hr/./x", "secret"),
        ("path", "/srv/hr2", "internal"),
        ("path", "/srv2", None),
        ("dsn", "postgres://u:p@DB.example.com:5432/sales", "restricted"),
        ("dsn", "postgres://db.example.com/other", "internal"),
        ("dsn", "postgres://x.example.com/sales", "public"),
        ("dsn", "postgres://db.example.com:6000/sales", None),
        ("dsn", "mysql://db.example.com/sales", None),
        ("email", "CEO@Example.com", "secret"),
        ("email", "ceo+news@example.com", "secret"),
        ("email", "ceo2@example.com", "internal"),
        ("email", "ceo@mail.example.com", "confidential"),
        ("email", "ceo@evilexample.com", None),
        ("object", "https://bucket.s3.amazonaws.com/hr/x", "secret"),
        ("object", "s3://bucket/hr2/x", "internal"),
        ("object", "gs://bucket/hr/x", None),
        ("object", "https://account1.blob.core.windows.net/data/x", "internal"),
        ("git", "git@github.com:Owner/Secrets.git", "secret"),
        ("git", "https://github.com/owner/other", "internal"),
        ("git", "https://github.com/owner2/other", None),
        ("git", "https://git.example.com/a/b", "confidential"),
        ("dsn", "snowflake://u:p@XY98765.eu-west-2/PROD/PUBLIC", "restricted"),
        ("dsn", "snowflake://u:p@xy98765.eu-west-2.snowflakecomputing.com:443/prod", "restricted"),
        ("dsn", "snowflake://u:p@xy98765.eu-west-2/OTHER", None),
        ("dsn", "snowflake://u:p@my-org-acct/x", "internal"),
        ("dsn", "snowflake://u:p@my-org-acct", None),
        ("dsn", "bigquery://my-project-1/sales", "confidential"),
        ("dsn", "bigquery://my-project-2", None),
        ("dsn", "mongodb+srv://u:p@cluster0.ab.mongodb.net/shop", "internal"),
        ("dsn", "mongodb://cluster0.ab.mongodb.net/shop", None),
        ("dsn", "duckdb:////srv/x.duckdb?read_only=true", "internal"),
        ("dsn", "host=db.example.com dbname=sales", "restricted"),
        ("dsn", "jdbc:postgresql://db.example.com/other", "internal"),
        ("command", "git log HEAD~1 'a b'", "public"),
        ("command", "git log HEAD~1 a b", None),
        ("command", "wc -c a", "restricted"),
        ("command", "wc -l a", "internal"),
        ("command", "wc-l a", None),
        ("iban", "DE89 3704 0044 0532 0130 00", "internal"),
        ("iban", "GB29NWBK60161331926819", "restricted"),
    ],
)
def test_the_most_specific_pattern_wins_for_every_kind(kind: str, value: str, expected: str | None) -> None:
    """Each kind has its own tree; a pattern of one kind says nothing about another."""
    assert worth(OTHERS, kind, value) == expected


def test_the_same_pattern_with_two_values_names_both_lines() -> None:
    """A tie has no most specific entry, so the owner must say which one is meant."""
    with pytest.raises(PolicyError) as raised:
        Catalog(
            [
                entry("url", "https://a.example.com/*", "public", 3),
                entry("url", "https://a.example.com:443/*", "secret", 9),
            ]
        )
    assert raised.value.problems[0].line == 9
    assert "destinations.yaml:3" in str(raised.value)


def test_zones_alone_make_a_tie_too() -> None:
    """Zones decide; two of them for one place is a contradiction."""
    with pytest.raises(PolicyError):
        Catalog([entry("ip", "10.0.0.1", "public", zone="a"), entry("ip", "10.0.0.1/32", "public", zone="b")])


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("url", "api.example.com"),
        ("url", "https://api.example.com"),
        ("url", "https://*/*"),
        ("url", "https://a*.example.com/*"),
        ("url", "https://*.example.com/x/*"),
        ("url", "https://*.10.0.0.1/*"),
        ("url", "https://API.example.com/*"),
        ("url", "https://api.example.com/x*"),
        ("url", "https://api.example.com/../x"),
        ("url", "https://user@api.example.com/*"),
        ("url", "gopher://api.example.com/*"),
        ("url", "https://api.example.com:0/*"),
        ("host", "*"),
        ("host", "*.example.com:22"),
        ("host", "0177.0.0.1"),
        ("ip", "10.0.0.1/8"),
        ("ip", "10.0.0.256"),
        ("path", "srv/*"),
        ("path", "/srv/../x"),
        ("path", "/srv/x*"),
        ("dsn", "db.example.com/sales"),
        ("dsn", "postgresql://*.example.com/sales"),
        ("dsn", "postgresql://u@db.example.com/sales"),
        ("email", "Ceo@example.com"),
        ("email", "ceo+x@example.com"),
        ("email", "ceo@*.example.com"),
        ("email", "example.com"),
        ("object", "s3://bucket"),
        ("object", "s3://bucket/x*"),
        ("object", "https://bucket.s3.amazonaws.com/*"),
        ("git", "github.com"),
        ("git", "github.com/Owner/x"),
        ("git", "github.com/owner/x.git"),
        ("git", "*.example.com/owner/x"),
        ("command", "sh *"),
        ("command", "git;ls"),
        ("command", "git  status"),
        ("command", "ls $HOME"),
        ("command", "sh -c ls"),
        ("channel", "general"),
        ("channel", "slack:general"),
        ("iban", "DE88370400440532013000"),
        ("iban", "ZZ*"),
        ("pattern", "queue"),
        ("pattern", "queue:a*"),
        ("nonsense", "x"),
    ],
)
def test_a_pattern_that_would_never_match_is_refused_when_loaded(kind: str, pattern: str) -> None:
    """A mistake in the catalog shows at load, with its line, and not as a surprise at a call."""
    with pytest.raises(PolicyError) as raised:
        Catalog([entry(kind, pattern, "public", 7)])
    assert str(raised.value).startswith("destinations.yaml:7: ")


def test_every_problem_is_reported_at_once() -> None:
    """Fixing one mistake at a time wastes the owner's afternoon."""
    with pytest.raises(PolicyError) as raised:
        Catalog([entry("url", "x", "public", 1), entry("ip", "y", "public", 2)])
    assert [problem.line for problem in raised.value.problems] == [1, 2]


def test_an_address_has_no_wildcards() -> None:
    """`*.0.0.1` would cover a quarter of nothing in particular."""
    from agentguard.destinations.kinds.hosts import wildcards

    assert list(wildcards("10.0.0.1")) == list(wildcards("[::1]")) == []
    assert list(wildcards("a.b.example.com")) == ["*.b.example.com", "*.example.com", "*.com"]


@pytest.mark.parametrize(
    ("listed", "promises", "url", "expected"),
    [
        ("https://git.example.com/*", ("paths_as_written",), "https://git.example.com/p/a%2fb/x", "internal"),
        ("https://git.example.com/p/a%2Fb/*", ("paths_as_written",), "https://git.example.com/p/a%2Fb/x", "internal"),
        ("https://git.example.com/p/a%2Fb/*", ("paths_as_written",), "https://git.example.com/p/a/b/x", None),
        (
            "https://git.example.com/p/a/*",
            ("paths_as_written",),
            "https://git.example.com/p/a%2Fb",
            "escaped_separator",
        ),
        ("https://git.example.com/*", (), "https://git.example.com/p/a%2Fb", "escaped_separator"),
        ("https://git.example.com/*", (), "https://git.example.com/a/https://b", "empty_segment"),
        ("https://git.example.com/*", ("paths_as_written",), "https://git.example.com/a/https://b", "internal"),
        ("https://git.example.com/a/b/*", ("paths_as_written",), "https://git.example.com/a//b/c", "empty_segment"),
        ("https://git.example.com/*", ("paths_as_written",), "https://git.example.com/a;v=1/b", "internal"),
        ("https://git.example.com/*", ("paths_as_written",), "https://other.example.com/a%2Fb", "escaped_separator"),
        ("https://git.example.com/*", ("paths_as_written",), "https://git.example.com/a%2F..%2Fb", "dot_segment"),
    ],
)
def test_a_path_that_servers_read_in_two_ways_wants_a_promise_for_its_host(
    listed: str, promises: tuple[str, ...], url: str, expected: str | None
) -> None:
    """`%2F` is a letter in GitLab's addresses and a slash to many servers: only the owner knows which host is which."""
    kind = find_kind("url")
    assert kind is not None
    catalog = Catalog([entry("url", listed, "internal", promises=promises)])
    derived = safely(kind, url, {})
    found = derived if isinstance(derived, Ambiguous) else classified(catalog, derived[0])
    if isinstance(found, Ambiguous):
        assert found.reason == expected
    else:
        assert (found[0].sensitivity.word if found[0].sensitivity is not None else None) == expected


def test_a_more_special_entry_keeps_the_promise_of_its_host() -> None:
    """The promise is about the host, and the worth about the place."""
    broad = entry("url", "https://git.example.com/*", "internal", 1, promises=("paths_as_written",))
    catalog = Catalog([broad, entry("url", "https://git.example.com/hr/*", "secret", 2)])
    kind = find_kind("url")
    assert kind is not None
    derived = safely(kind, "https://git.example.com/hr/a%2Fb", {})
    assert not isinstance(derived, Ambiguous)
    found = classified(catalog, derived[0])
    assert not isinstance(found, Ambiguous)
    assert [one.sensitivity for one in found] == [Sensitivity.SECRET]


@pytest.mark.parametrize("path", ["/p/a%2Fb", "/p/a%2Fb/*", "/a/https://b", "/a;v=1/*"])
def test_a_pattern_that_wants_a_promise_says_so_when_it_is_loaded(path: str) -> None:
    """It would match nothing, and its owner would not know why."""
    with pytest.raises(PolicyError, match=r"promises: \[paths_as_written\]"):
        Catalog([entry("url", f"https://git.example.com{path}", "public")])


LAUNCHERS = (
    "env xargs find ssh git tar python python3.12 busybox sudo sh bash zsh node perl ruby awk sed vim less man rsync "
    "scp curl wget docker kubectl npm npx make tmux screen timeout nice nohup strace gdb parallel watch systemctl psql "
    "sqlite3 mysql zip sort tcpdump socat nc openssl ansible terraform pip cargo go mvn gradle java /usr/bin/env "
    "flock setsid unshare nsenter chroot systemd-run script expect ionice stdbuf at crontab"
)


@pytest.mark.parametrize("program", [*LAUNCHERS.split(), "wc", "ls", "a-program-nobody-has-heard-of", "sponge"])
def test_no_program_takes_any_argument_unless_the_owner_promises(program: str) -> None:
    """A list of launchers is never complete, so the question is put the other way round."""
    for pattern in (f"{program} *", f"{program} x *"):
        with pytest.raises(
            PolicyError, match=r"destinations\.yaml:3: .*(promises: \[starts_nothing_else\]|starts other)"
        ):
            Catalog([entry("command", pattern, "public", 3)])


@pytest.mark.parametrize("program", LAUNCHERS.split())
def test_a_promise_that_is_known_to_be_wrong_is_refused(program: str) -> None:
    """`git *` lets `git -c core.pager=…` in, whatever its owner believes."""
    for pattern in (f"{program} *", f"{program} -x *"):
        with pytest.raises(PolicyError, match="starts other programs by its arguments; list whole commands"):
            Catalog([entry("command", pattern, "public", promises=NOTHING_ELSE)])


@pytest.mark.parametrize("pattern", ["git log *", "kubectl get *", "docker ps *", "npm run lint *", "python tool.py *"])
def test_a_part_of_a_program_can_be_promised(pattern: str) -> None:
    """`git log` starts nothing that its arguments name, though `git` does."""
    assert Catalog([entry("command", pattern, "public", promises=NOTHING_ELSE)]).entries


@pytest.mark.parametrize(
    ("kind", "pattern", "promises"),
    [
        ("command", "git status", ("starts_nothing_else",)),
        ("command", "wc *", ("starts_nothing_els",)),
        ("command", "wc *", ("starts_nothing_else", "paths_as_written")),
        ("email", "*@example.com", ("starts_nothing_else",)),
    ],
)
def test_a_promise_that_means_nothing_is_refused(kind: str, pattern: str, promises: tuple[str, ...]) -> None:
    """A misspelt promise would be believed by its owner and by nobody else."""
    with pytest.raises(PolicyError, match="promise"):
        Catalog([entry(kind, pattern, "public", promises=promises)])


@pytest.mark.parametrize(
    ("listed", "promises", "command", "refused"),
    [
        (None, (), "python jobs/nightly.py --day 3", True),
        ("python jobs/nightly.py --day 3", (), "python jobs/nightly.py --day 3", False),
        ("python jobs/nightly.py --day 3", (), "python jobs/nightly.py --day 4", True),
        ("python jobs/nightly.py *", NOTHING_ELSE, "python jobs/nightly.py --day 4", False),
        ("python jobs/nightly.py *", NOTHING_ELSE, "python jobs/other.py", True),
        (None, (), "git status", False),
    ],
)
def test_a_program_that_runs_a_file_is_refused_unless_it_is_listed(
    listed: str | None, promises: tuple[str, ...], command: str, refused: bool
) -> None:
    """A step that permits what nobody has classified does not permit `python anything.py`."""
    kind = find_kind("command")
    assert kind is not None
    derived = safely(kind, command, {})
    assert not isinstance(derived, Ambiguous)
    catalog = Catalog([entry("command", listed, "internal", promises=promises)] if listed else [])
    found = classified(catalog, derived[0])
    assert (found == Ambiguous("starts_other_programs")) is refused
    assert isinstance(found, tuple) is not refused
