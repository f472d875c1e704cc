"""A bundle is one directory, all of it or nothing, under one revision."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from agentguard.core.declarations import StreamTrust
from agentguard.core.policy import DEFAULT_RISK, MICROS, Counted, RiskRule, RiskTrigger, StreamRule
from agentguard.core.values import Assurance, Risk, Sensitivity, ToolEffect
from agentguard.errors import PolicyError
from agentguard.policy import Bundle, Reloader, load, schemas
from agentguard.policy.models import WORDS

from .conftest import EXPORTER

Broken = Callable[[str, str, str], Path]


def said(directory: Path) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(directory)
    return [str(problem) for problem in caught.value.problems]


def test_the_example_of_the_design_loads_into_core_values(bundle_dir: Path) -> None:
    """Every field, so that none is read and then forgotten."""
    bundle = load(bundle_dir)

    workflow = bundle.policy.workflows["customer-export"]
    look_up, export = workflow.steps
    assert (workflow.version, workflow.review_by, workflow.max_age) == (3, date(2027, 6, 30), timedelta(seconds=60))
    assert workflow.subjects == {EXPORTER}
    assert (look_up.tool, look_up.at_most, look_up.after) == ("tickets.get", 5, ())
    assert (export.after, export.at_most, export.up_to) == (("look-up",), 1, Sensitivity.CONFIDENTIAL)
    assert not export.allow_unclassified
    assert [condition.text for condition in export.require] == ["args.table in kept.tables"]
    assert export.approval is not None
    assert export.approval.when is not None
    assert export.approval.when.text == "args.rows > 1000"
    assert (export.approval.approvers, export.approval.quorum) == (("group:data-stewards",), 2)
    assert export.approval.within == timedelta(minutes=30)
    (budget,) = workflow.budgets
    assert (budget.steps, budget.at_most, budget.per) == ({"export"}, 100_000 * MICROS, timedelta(days=1))
    assert workflow.risk == DEFAULT_RISK
    assert bundle.policy.groups == {"data-stewards": {"user:alice", "user:bob"}}
    assert bundle.policy.tools["warehouse.export"].effect is ToolEffect.SEND
    assert bundle.policy.tools["warehouse.export"].fingerprint == "sha256:" + "0" * 64
    assert bundle.policy.zones["office"].reaches == {"office": Sensitivity.SECRET, "prod": Sensitivity.INTERNAL}
    assert bundle.policy.zone_by_subject == {EXPORTER: "office"}
    assert bundle.policy.max_age_by_sensitivity == {Sensitivity.RESTRICTED: timedelta(seconds=30)}
    assert bundle.policy.assurance_by_sensitivity == {Sensitivity.SECRET: Assurance.CALL_BOUND}
    assert bundle.policy.risk_ceilings == {Risk.MEDIUM: Sensitivity.CONFIDENTIAL, Risk.HIGH: Sensitivity.PUBLIC}
    # A stream that nothing depends on may be silent.
    levels = frozenset({Sensitivity.RESTRICTED, Sensitivity.SECRET})
    assert bundle.policy.streams == {"idp": StreamRule(timedelta(minutes=10), levels)}
    assert bundle.workflows_inputs["customer-export"].refusal({"ticket": "EXP-1"}) is None
    assert bundle.workflows_inputs["customer-export"].refusal({"ticket": "EXP-1", "x": 1}) is not None
    (keep,) = bundle.keeps["customer-export", "look-up"]
    assert (keep.name, keep.extract({"tables": ["orders"]})) == ("tables", ["orders"])


def test_declarations_keep_their_lines_and_options(bundle_dir: Path) -> None:
    """Destinations and identity report their own problems, with the owner's line."""
    bundle = load(bundle_dir)

    first, second = bundle.tools["warehouse.export"].destinations
    assert (first.kind, first.argument, first.fixed, first.optional) == ("url", "target", None, False)
    assert (second.fixed, dict(second.options)) == ("postgresql://db.corp.example/orders", {"dialect": "postgres"})
    assert str(first.source) == f"{bundle_dir / 'tools.yaml'}:15"
    assert bundle.tool_by_alias == {
        "tickets.get": "tickets.get",
        "get_ticket": "tickets.get",
        "warehouse.export": "warehouse.export",
        "export_orders": "warehouse.export",
    }
    (entry,) = bundle.catalog
    assert (entry.kind, entry.sensitivity, entry.zone, entry.owner) == ("url", Sensitivity.INTERNAL, "office", "files")
    local, corp = bundle.issuers
    assert (local.profile, local.subjects, local.keys_file) == ("local", (EXPORTER,), None)
    assert (corp.max_age, corp.max_lifetime, corp.skew) == (timedelta(minutes=5), timedelta(hours=1), timedelta(0))
    assert (corp.keys_file, corp.minimum_assurance, corp.single_use) == ("keys.json", Assurance.BEARER, True)
    quiet, stream = bundle.streams
    assert quiet.required_for == ()
    assert str(stream.source) == f"{bundle_dir / 'trust.yaml'}:29"
    assert replace(stream, source=corp.source) == StreamTrust(
        "idp",
        "https://idp.corp.example",
        "https://agentguard.corp.example",
        corp.source,
        keys_url="https://idp.corp.example/keys",
        about=("user:eli", "https://idp.corp.example#*"),
        poll_url="http://127.0.0.1:8080/poll",
        authorization_env="IDP_AUTHORIZATION",
        max_silence=timedelta(minutes=10),
        required_for=(Sensitivity.RESTRICTED, Sensitivity.SECRET),
    )


@pytest.mark.parametrize(
    ("step", "checks"),
    [
        (
            "identity: {max_age: 10s, assurance: bearer, proof: call}",
            (timedelta(seconds=10), Assurance.BEARER, True, False),
        ),
        ("destinations: {unclassified: allow}", (None, None, False, True)),
    ],
)
def test_what_a_step_may_say(broken: Broken, step: str, checks: tuple[object, ...]) -> None:
    """The fields that the example does not use."""
    old = "    destinations: {up_to: confidential}"
    new = f"    {step}" if step.startswith("dest") else f"{old}\n    {step}"
    found = load(broken("customer-export.yaml", old, new)).policy.workflows["customer-export"].steps[1]

    assert (found.max_age, found.minimum_assurance, found.bound_to_call, found.allow_unclassified) == checks


def test_rules_that_raise_risk_are_named_or_numbered(broken: Broken) -> None:
    """The name stands in the record of each rise, so it must lead back to one rule."""
    rules = "{to: medium, after: {denials: 5, within: 10m}}, {name: burst, to: high, after: {calls: 100, within: 1m}}"
    workflow = load(broken("customer-export.yaml", "steps:", f"raise_risk: [{rules}]\nsteps:")).policy.workflows

    assert workflow["customer-export"].raise_risk == (
        RiskTrigger("1", Risk.MEDIUM, Counted.DENIALS, 5, timedelta(minutes=10)),
        RiskTrigger("burst", Risk.HIGH, Counted.CALLS, 100, timedelta(minutes=1)),
    )


def test_a_count_budget_needs_no_amount(broken: Broken) -> None:
    """`count: true` counts calls; `per: run` is the same as saying nothing."""
    old = "{sum: args.rows, of: export, at_most: 100000, per: 1d}"
    directory = broken("customer-export.yaml", old, "{count: true, of: [look-up, export], at_most: 7, per: run}")

    (budget,) = load(directory).policy.workflows["customer-export"].budgets

    assert (budget.amount, budget.steps, budget.at_most, budget.per) == (None, {"look-up", "export"}, 7 * MICROS, None)


def test_what_risk_rules_do_not_say_stays_as_it_was(broken: Broken) -> None:
    """Saying how far `high` lowers the ceiling must not give writing back."""
    directory = broken(
        "customer-export.yaml", "steps:", "no_write_down: true\nrisk: {high: {lower_ceiling_by: 2}}\nsteps:"
    )

    workflow = load(directory).policy.workflows["customer-export"]

    assert workflow.risk[Risk.HIGH] == RiskRule(frozenset({ToolEffect.READ}), 2)
    assert workflow.risk[Risk.MEDIUM] == DEFAULT_RISK[Risk.MEDIUM]
    assert workflow.no_write_down


# How long a run lasts.


@pytest.mark.parametrize(("bounds", "noted"), [("idle: 29m\n", 1), ("idle: 30m\n", 0), ("lasts: 29m\nidle: 28m\n", 2)])
def test_a_question_that_stands_for_longer_than_a_run_may_wait_is_noted(
    broken: Broken, bounds: str, noted: int
) -> None:
    """An answer that comes after that permits nothing, and nobody would know why."""
    bundle = load(broken("customer-export.yaml", "steps:", f"{bounds}steps:"))
    notes = [str(note) for note in bundle.notes if "waits for a person for longer" in str(note)]

    assert len(notes) == noted
    assert all("customer-export.yaml" in note and "`export`" in note for note in notes)


# The revision.


def test_the_revision_does_not_depend_on_how_it_is_written(bundle_dir: Path) -> None:
    """Comments, quotes, the order of keys and the names of files are not content."""
    before = load(bundle_dir)
    workflow = bundle_dir / "customer-export.yaml"
    content = yaml.safe_load(workflow.read_text())
    content["metadata"]["review_by"] = str(content["metadata"]["review_by"])
    workflow.unlink()
    (bundle_dir / "zzz.yml").write_text("# rewritten\n" + yaml.safe_dump(content, sort_keys=False))
    (bundle_dir / "x.cases.yaml").write_text("anything")

    after = load(bundle_dir)

    assert after.revision == before.revision == after.policy.revision
    assert after.policy.workflows["customer-export"].digest == before.policy.workflows["customer-export"].digest


@pytest.mark.parametrize(
    ("file", "old", "new", "changes_workflow"),
    [
        ("customer-export.yaml", "at_most: 5", "at_most: 6", True),
        ("customer-export.yaml", "purpose: Export", "purpose: export", True),
        ("tools.yaml", "effect: read", "effect: write", True),
        ("tools.yaml", "aliases: [get_ticket]", "aliases: [take_ticket]", True),
        ("trust.yaml", "user:bob", "user:carol", False),
        ("destinations.yaml", "sensitivity: internal", "sensitivity: public", False),
    ],
)
def test_every_change_of_content_is_another_revision(
    bundle_dir: Path, broken: Broken, file: str, old: str, new: str, changes_workflow: bool
) -> None:
    """A workflow's digest covers the tools it uses, so a run does not go on over a changed tool."""
    before = load(bundle_dir)
    after = load(broken(file, old, new))

    digests = [bundle.policy.workflows["customer-export"].digest for bundle in (before, after)]
    assert before.revision != after.revision
    assert (digests[0] != digests[1]) is changes_workflow


def test_the_order_of_steps_is_content(bundle_dir: Path) -> None:
    """The first step that fits is taken, so another order is another policy."""
    before = load(bundle_dir)
    path = bundle_dir / "customer-export.yaml"
    content = yaml.safe_load(path.read_text())
    content["metadata"]["review_by"] = str(content["metadata"]["review_by"])
    content["steps"] = dict(reversed(content["steps"].items()))
    path.write_text(yaml.safe_dump(content, sort_keys=False))

    after = load(bundle_dir)

    assert before.revision != after.revision
    assert before.policy.workflows["customer-export"].digest != after.policy.workflows["customer-export"].digest


def test_a_tool_that_is_not_used_does_not_change_a_workflow(broken: Broken, bundle_dir: Path) -> None:
    """Otherwise every new tool would stop every run."""
    before = load(bundle_dir)
    after = load(broken("tools.yaml", "tools:\n", "tools:\n  other: {effect: read}\n"))

    assert before.revision != after.revision
    assert before.policy.workflows["customer-export"].digest == after.policy.workflows["customer-export"].digest


# Files.


def test_files_below_are_found_and_hidden_ones_are_not(bundle_dir: Path) -> None:
    """Owners sort their workflows into folders; editors leave hidden files behind."""
    (bundle_dir / "team").mkdir()
    (bundle_dir / "customer-export.yaml").rename(bundle_dir / "team" / "export.yml")
    (bundle_dir / ".hidden.yaml").write_text("{")
    (bundle_dir / ".git").mkdir()
    (bundle_dir / ".git" / "x.yaml").write_text("{")
    (bundle_dir / "README.md").write_text("{")
    (bundle_dir / "destinations.yaml").rename(bundle_dir / "Destinations.YAML")

    assert load(bundle_dir).files == ("Destinations.YAML", "team/export.yml", "tools.yaml", "trust.yaml")


def test_several_documents_in_one_file_are_one_bundle(bundle_dir: Path) -> None:
    """A small bundle fits in one file, and its revision is the same."""
    before = load(bundle_dir)
    texts = [(bundle_dir / name).read_text() for name in before.files]
    for name in before.files:
        (bundle_dir / name).unlink()
    (bundle_dir / "all.yaml").write_text("---\n".join(texts))

    assert load(bundle_dir).revision == before.revision


def test_a_directory_without_policy_is_an_error(tmp_path: Path, bundle_dir: Path) -> None:
    """No policy must never mean that everything, or nothing in particular, is allowed."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (bundle_dir / "customer-export.yaml").unlink()

    assert "holds no policy files" in said(empty)[0]
    assert "no such directory" in said(tmp_path / "nowhere")[0]
    assert "not a directory" in said(bundle_dir / "tools.yaml")[0]
    assert "holds no workflow" in said(bundle_dir)[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("# nothing\n"), "is empty"),
        (lambda path: path.write_text("- a\n"), "expected `apiVersion"),
        (lambda path: path.write_text("just text\n"), "expected `apiVersion"),
        (lambda path: path.symlink_to("/etc/hostname"), "leaves the directory"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
        (lambda path: path.symlink_to("/etc", target_is_directory=True), "links to folders are not followed"),
        (lambda path: os.mkfifo(path), "is not a regular file"),
    ],
)
def test_a_file_that_is_no_policy_stops_the_load(
    bundle_dir: Path, make: Callable[[Path], object], message: str
) -> None:
    """A file that is left out silently is a rule that is left out silently."""
    make(bundle_dir / "odd.yaml")

    (problem,) = said(bundle_dir)

    assert "odd.yaml" in problem
    assert message in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can read every file")
def test_a_file_that_cannot_be_read_stops_the_load(bundle_dir: Path) -> None:
    """Not reading a rule is not the same as there being none."""
    (bundle_dir / "trust.yaml").chmod(0)

    assert "cannot be read" in said(bundle_dir)[0]


def test_a_link_inside_the_directory_is_a_file(bundle_dir: Path) -> None:
    """Mounted configuration is made of links to hidden folders beside them."""
    before = load(bundle_dir)
    (bundle_dir / "..data").mkdir()
    (bundle_dir / "tools.yaml").rename(bundle_dir / "..data" / "tools.yaml")
    (bundle_dir / "tools.yaml").symlink_to("..data/tools.yaml")

    assert load(bundle_dir).revision == before.revision


def test_progress_is_told_file_by_file(bundle_dir: Path) -> None:
    """A thousand files take a second or two."""
    heard: list[tuple[int, int]] = []

    load(bundle_dir, on_file=lambda done, total: heard.append((done, total)))

    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


# Reloading.


def _as_it_is(bundle: Bundle, before: Bundle | None) -> Bundle:
    return bundle


def test_a_bad_bundle_never_replaces_a_good_one(bundle_dir: Path, broken: Broken) -> None:
    """Half of an edit must not decide anything, and the good half must not either."""
    reloader = Reloader(bundle_dir, _as_it_is)
    good = reloader.current
    broken("tools.yaml", "effect: read", "effect: write")
    broken("customer-export.yaml", "at_most: 5", "at_mots: 5")

    with pytest.raises(PolicyError):
        reloader.reload()
    assert reloader.current is good

    broken("customer-export.yaml", "at_mots: 5", "at_most: 5")
    assert reloader.reload() is reloader.current
    assert reloader.current.revision != good.revision


def test_a_bundle_that_cannot_be_used_is_never_held(bundle_dir: Path, broken: Broken) -> None:
    """The catalog's own rules are checked by the guard; they count as much."""
    seen: list[str | None] = []

    def usable(bundle: Bundle, before: str | None) -> str:
        seen.append(before)
        if bundle.policy.workflows["customer-export"].steps[0].at_most != 5:
            raise ValueError("no")
        return bundle.revision

    reloader = Reloader(bundle_dir, usable)
    good = reloader.current
    broken("customer-export.yaml", "at_most: 5", "at_most: 6")

    with pytest.raises(ValueError, match="no"):
        reloader.reload()
    with pytest.raises(ValueError, match="no"):
        Reloader(bundle_dir, usable)
    assert reloader.current == good
    assert seen == [None, good, None]


def test_a_change_of_any_file_is_noticed(bundle_dir: Path, broken: Broken) -> None:
    """Written, added, removed: by name, size, time and inode, without reading."""
    reloader = Reloader(bundle_dir, _as_it_is)
    assert not reloader.changed()

    broken("customer-export.yaml", "at_most: 5", "at_most: 55")
    assert reloader.changed()
    reloader.reload()
    assert not reloader.changed()
    (bundle_dir / "more.yaml").write_text("apiVersion: agentguard/v1\nkind: Trust\n")
    assert reloader.changed()
    reloader.reload()
    (bundle_dir / "more.yaml").unlink()
    assert reloader.changed()


def test_readers_see_one_whole_bundle_while_it_is_reloaded(bundle_dir: Path, broken: Broken) -> None:
    """A decision takes the bundle once; whichever it gets is whole."""
    reloader = Reloader(bundle_dir, _as_it_is)
    known = {reloader.current.revision: reloader.current.policy.workflows["customer-export"].digest}
    broken("customer-export.yaml", "at_most: 5", "at_most: 6")
    other = load(bundle_dir)
    known[other.revision] = other.policy.workflows["customer-export"].digest
    seen: set[tuple[str, str]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            bundle = reloader.current
            seen.add((bundle.revision, bundle.policy.workflows["customer-export"].digest))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        reloader.reload()
    stop.set()
    for thread in threads:
        thread.join()

    assert seen <= set(known.items())


# Schemas for editors.


def test_the_words_in_files_are_the_words_of_the_core() -> None:
    """Two lists of words that drift apart would refuse, or worse accept, a word."""
    for literal, words in WORDS.items():
        assert literal.__args__ == words


def test_an_editor_accepts_what_the_loader_accepts(bundle_dir: Path) -> None:
    """A red line under a good file teaches owners to ignore red lines."""
    known = schemas()
    assert set(known) == {"Trust", "Tools", "Destinations", "Workflow", "Steps", "Cases"}
    for name in load(bundle_dir).files:
        content = yaml.load((bundle_dir / name).read_text(), Loader=yaml.BaseLoader)
        assert content["kind"] in known
        typed = yaml.safe_load((bundle_dir / name).read_text())
        if typed["kind"] == "Workflow":
            typed["metadata"]["review_by"] = str(typed["metadata"]["review_by"])
        validator = jsonschema_rs.Draft202012Validator(known[typed["kind"]])
        assert [error.message for error in validator.iter_errors(typed)] == []
        typed["surprise"] = 1
        assert not validator.is_valid(typed)
