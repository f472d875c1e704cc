"""``Trust``: groups, issuers, streams of signals, what is observed, and who may do what on the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from agentguard.core.declarations import ConsoleTrust, IssuerTrust, LoginTrust, Observe, Source, StreamTrust
from agentguard.core.policy import StreamRule
from agentguard.core.values import Assurance, Sensitivity
from agentguard.policy import models
from agentguard.policy.compile.parts import Parts, Written
from agentguard.policy.words import unknown


def add_trust(parts: Parts, written: Written) -> None:
    """Groups, issuers and streams of signals."""
    trust: models.Trust = written.model
    for name, members in trust.groups.items():
        if parts.is_new("group", name, written.source("groups", name)):
            parts.groups[name] = frozenset(members)
    for index, issuer in enumerate(trust.issuers):
        source = written.source("issuers", index)
        if parts.is_new("issuer", issuer.name, source):
            parts.issuers[issuer.name] = _issuer(issuer, source)
    for index, stream in enumerate(trust.streams):
        source = written.source("streams", index)
        # An event of one could be sent as the other's, which may be believed about more.
        apart = parts.is_new("a stream from and to", f"{stream.issuer} {stream.audience}", source)
        if parts.is_new("stream", stream.name, source) and apart:
            parts.streams[stream.name] = _stream(stream, source)


def observed(parts: Parts, written: Iterable[Written]) -> Mapping[str, Observe]:
    """What Trust observes, by workflow. Called when every workflow is known."""
    found: dict[str, Observe] = {}
    for document in written:
        trust: models.Trust = document.model
        for index, entry in enumerate(trust.observe):
            source = document.source("observe", index)
            workflow = parts.workflows.get(entry.workflow)
            if workflow is None:
                parts.say(source, f"observe: {unknown('workflow', entry.workflow, parts.workflows)}")
                continue
            names = {step.name for step in workflow.steps}
            if entry.step is not None and entry.step not in names:
                parts.say(source, f"observe: {unknown(f'step of `{workflow.name}`', entry.step, names)}")
                continue
            steps = None if entry.step is None else frozenset({entry.step})
            before = found.get(workflow.name)
            if before is None:
                found[workflow.name] = Observe(workflow.name, steps, entry.until, source)
            elif steps is None or before.steps is None or steps <= before.steps:
                twice = "once as a whole, or each of its steps once"
                parts.say(source, f"observe: `{workflow.name}` is observed {twice}; the first is at {before.source}")
            elif entry.until != before.until:
                what = f"observe: steps of one workflow have one `until`; {before.source} says {before.until}"
                parts.say(source, what)
            else:
                found[workflow.name] = replace(before, steps=before.steps | steps)
    return MappingProxyType(found)


def console(parts: Parts, written: Iterable[Written]) -> ConsoleTrust | None:
    """Who may do what on the console; None where Trust says nothing of it. Called when every group is known."""
    found: ConsoleTrust | None = None
    for document in written:
        trust: models.Trust = document.model
        if trust.console is None:
            continue
        source = document.source("console")
        if found is not None:
            parts.say(source, f"console: it is described once; the first is at {found.source}")
            continue
        people = {
            word: _people(parts, document, word, getattr(trust.console, word)) for word in ("see", "search", "stop")
        }
        found = ConsoleTrust(**people, login=_login(trust.console.login, document), source=source)
    return found


def _people(parts: Parts, document: Written, word: str, names: Iterable[str]) -> frozenset[str] | None:
    people: set[str] = set()
    for index, name in enumerate(names):
        kind, _, rest = name.partition(":")
        if kind == "group" and rest not in parts.groups:
            parts.say(document.source("console", word, index), f"console: {unknown('group', rest, parts.groups)}")
        people |= parts.groups.get(rest, frozenset()) if kind == "group" else {name}
    return None if "anyone" in people else frozenset(people)


def _login(login: models.Login | None, document: Written) -> LoginTrust | None:
    if login is None:
        return None
    source = document.source("console", "login")
    return LoginTrust(login.issuer, login.client_id, login.client_secret_env, login.person_from, source)


def _issuer(issuer: models.Issuer, source: Source) -> IssuerTrust:
    return IssuerTrust(
        name=issuer.name,
        profile=issuer.profile,
        issuer=issuer.issuer,
        audience=issuer.audience,
        max_age=issuer.max_age,
        max_lifetime=issuer.max_lifetime,
        skew=issuer.skew,
        source=source,
        trust_domain=issuer.trust_domain,
        keys_file=issuer.keys_file,
        keys_url=issuer.keys_url,
        keys_max_age=issuer.keys_max_age,
        algorithms=tuple(issuer.algorithms),
        claims=MappingProxyType(issuer.claims),
        subject_from=issuer.subject_from,
        subjects=tuple(issuer.subjects),
        revoked_keys=tuple(issuer.revoked_keys),
        proof=issuer.proof,
        single_use=issuer.single_use,
        minimum_assurance=None if issuer.minimum_assurance is None else Assurance.parse(issuer.minimum_assurance),
        types=tuple(issuer.typ),
        plain_keys=issuer.plain_keys,
    )


def _stream(stream: models.Stream, source: Source) -> StreamTrust:
    return StreamTrust(
        name=stream.name,
        issuer=stream.issuer,
        audience=stream.audience,
        source=source,
        keys_file=stream.keys_file,
        keys_url=stream.keys_url,
        keys_max_age=stream.keys_max_age,
        algorithms=tuple(stream.algorithms),
        revoked_keys=tuple(stream.revoked_keys),
        about=tuple(stream.about),
        poll_url=stream.poll_url,
        authorization_env=stream.authorization_env,
        skew=stream.skew,
        max_silence=stream.max_silence,
        required_for=tuple(map(Sensitivity.parse, stream.required_for)),
        older=stream.older,
    )


def core_streams(parts: Parts) -> Mapping[str, StreamRule]:
    """What the decision must know of each stream that calls depend on."""
    return MappingProxyType(
        {
            name: StreamRule(stream.max_silence, frozenset(stream.required_for))
            for name, stream in parts.streams.items()
            if stream.max_silence is not None and stream.required_for
        }
    )
