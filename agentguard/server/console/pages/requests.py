"""Requests to people: those that wait, one of them in full, answers, and those that are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from agentguard import display
from agentguard.approvals import ApprovalStatus, ApprovalView
from agentguard.approvals.view import moment, remaining
from agentguard.core.values import Json
from agentguard.server.console import html
from agentguard.server.console.desk import NOT_HERE, Desk, Problem, Visit, to
from agentguard.server.console.html import ago

# Requests on one page. Nobody reads more at once.
_PAGE = 50
# Past so many that wait, the newest are shown, and a line says so.
_MOST_OPEN = 1_000
# Of a value and of values, what the page of a request shows at once; past it, whoever agrees looks at all of it first.
_MOST_CHARACTERS = 4_000
_MOST_VALUES = 200
_ALL = 10**9


def inbox(desk: Desk, visit: Visit) -> Response:
    """What waits for somebody: first what asks this person, soonest to expire first."""
    rows = desk.operations.approvals(limit=_MOST_OPEN)
    views = [ApprovalView(row.request, row.answers, row.life, desk.now()) for row in rows]
    seen = [view for view in views if visible(visit, view)]
    asked = [
        view
        for view in seen
        if view.status is ApprovalStatus.PENDING and view.why_not(visit.person, agree=True) is None
    ]
    asked.sort(key=lambda view: view.asked.expires_at)
    ids = {view.asked.id for view in asked}
    others = sorted((view for view in seen if view.asked.id not in ids), key=lambda view: view.asked.expires_at)
    ordered = [*((view, True) for view in asked), *((view, False) for view in others)]
    first = _number(visit.query.get("from"), len(ordered))
    shown = [_line(view, yours) for view, yours in ordered[first : first + _PAGE]]
    later = first + _PAGE if first + _PAGE < len(ordered) else None
    return desk.page(
        "inbox.html", visit, requests=shown, yours=len(asked), in_all=len(ordered), first=first, later=later,
        earlier=max(0, first - _PAGE) if first else None, more=len(rows) == _MOST_OPEN,
    )  # fmt: skip


def history(desk: Desk, visit: Visit) -> Response:
    """What is over: answered, used or expired, newest first."""
    before = visit.query.get("before")
    found: list[ApprovalView] = []
    # Whoever sees few of many goes on where this page ends; each page looks at so many.
    looked, last = 0, before
    while len(found) < _PAGE and looked < _MOST_OPEN:
        rows = desk.operations.approvals(open_only=False, before=last, limit=_PAGE)
        looked += len(rows)
        for row in rows:
            last = row.request.id
            view = ApprovalView(row.request, row.answers, row.life, desk.now())
            if view.status is not ApprovalStatus.PENDING and visible(visit, view):
                found.append(view)
                if len(found) == _PAGE:
                    break
        if len(rows) < _PAGE:
            last = None
            break
    return desk.page("history.html", visit, requests=[_line(view, False) for view in found], before=before, last=last)


def show(desk: Desk, visit: Visit) -> Response:
    """One request in full."""
    view = _find(desk, visit)
    return desk.page("request.html", visit, **_whole(desk, visit, view))


def approve(desk: Desk, visit: Visit) -> Response:
    """Agree to one call."""
    return _answer(desk, visit, agree=True)


def deny(desk: Desk, visit: Visit) -> Response:
    """Refuse one call."""
    return _answer(desk, visit, agree=False)


def _answer(desk: Desk, visit: Visit, *, agree: bool) -> Response:
    view = _find(desk, visit)
    if visit.form.get("digest") != view.asked.request_digest:
        raise Problem(400, "That is another request", "Nothing was answered. Open the request anew.")
    why = "" if agree else visit.form.get("why", "")
    desk.operations.answer(view.asked.id, approver=visit.person, approve=agree, why=why)
    return to(f"/requests/{html.segment(view.asked.id)}")


def _find(desk: Desk, visit: Visit) -> ApprovalView:
    row = desk.operations.approval(visit.path["id"])
    if row is None:
        raise NOT_HERE
    view = ApprovalView(row.request, row.answers, row.life, desk.now())
    if not visible(visit, view):
        raise NOT_HERE
    return view


def visible(visit: Visit, view: ApprovalView) -> bool:
    """Whether somebody may see a request: who is asked, has answered, or may see all."""
    answered = any(answer.approver == visit.person for answer in view.answers)
    return visit.may.see or answered or view.may_see(visit.person)


def _line(view: ApprovalView, yours: bool) -> Mapping[str, Any]:
    """A request in a list."""
    asked = view.asked
    return {
        "id": asked.id,
        "tool": asked.tool,
        "workflow": asked.workflow,
        "step": asked.step,
        "requester": asked.requester,
        "why": view.why,
        "status": str(view.status),
        "agreed": view.agreed,
        "quorum": asked.quorum,
        "left": remaining(view.until, view.now),
        "hurry": (view.until - view.now).total_seconds() < 300,
        "asked_at": moment(asked.requested_at),
        "since": ago(view.now - asked.requested_at),
        "yours": yours,
        "summary": _summary(view),
    }


def _summary(view: ApprovalView) -> Sequence[tuple[str, Json]]:
    """The first few arguments, for a list; what is personal is left to the page of the request."""
    found = view.to_json(personal=False)["arguments"]
    named = found.items() if isinstance(found, dict) else ()
    return [(name, leaf) for name, leaf in named if not isinstance(leaf, dict | list)][:3]


def _whole(desk: Desk, visit: Visit, view: ApprovalView) -> dict[str, Any]:
    personal = view.may_see(visit.person)
    everything = "full" in visit.query
    most, values = (_ALL, _ALL) if everything else (_MOST_CHARACTERS, _MOST_VALUES)
    told = view.to_json(personal=personal)
    leaves, left_out = _leaves(told["arguments"], most, values)
    meaning = list(_meaning(told["meaning"], most))
    seen = [*leaves, *(each["leaf"] for each in meaning if each["leaf"] is not None)]
    complete = left_out == 0 and all(each["whole"] for each in seen)
    no = {word: view.why_not(visit.person, agree=agree) for word, agree in (("yes", True), ("no", False))}
    return {
        "told": told,
        "needs": [
            " and ".join(f"{need.quorum} of {', '.join(need.approvers)}" for need in rule) for rule in view.asked.needs
        ],
        "words": {who: html.said(said, _ALL) for who, said in desk.operations.words(view.asked).items()},
        "line": _line(view, no["yes"] is None),
        "leaves": leaves,
        "left_out": left_out,
        "complete": complete,
        "everything": everything,
        "meaning": meaning,
        "places": [_place(each) for each in _list(told["destinations"]) if isinstance(each, dict)],
        "asked_at": moment(view.asked.requested_at),
        "expires_at": moment(view.asked.expires_at),
        "open": view.status is ApprovalStatus.PENDING,
        "personal": personal or not view.asked.shown.get("personal"),
        "why_no_yes": no["yes"],
        "why_no_no": no["no"],
    }


def _leaves(arguments: Json, most: int, values: int) -> tuple[list[Mapping[str, Any]], int]:
    found: list[Mapping[str, Any]] = []
    left_out = 0
    for where, leaf in display.each_leaf(arguments) if arguments else ():
        if len(found) < values:
            found.append(html.leaf(where, leaf, most))
        else:
            left_out += 1
    return found, left_out


def _meaning(entries: Json, most: int) -> Iterator[Mapping[str, Any]]:
    """What the owner of the workflow shows beside the call: a label, and its value or why there is none."""
    for entry in _list(entries):
        if isinstance(entry, dict):
            known = "value" in entry
            leaf = html.leaf("", entry["value"], most) if known else None
            yield {"label": str(entry.get("label")), "leaf": leaf, "none": str(entry.get("none"))}


def _place(found: Mapping[str, Json]) -> Mapping[str, str]:
    zone = found.get("zone")
    return {name: str(found.get(name)) for name in ("kind", "id", "sensitivity")} | {
        "zone": "" if zone is None else str(zone)
    }


def _list(found: Json) -> list[Json]:
    return found if isinstance(found, list) else []


def _number(text: str | None, most: int) -> int:
    """A place in a list, from an address; the beginning where it is none."""
    return min(int(text), most) if text is not None and text.isascii() and text.isdigit() and len(text) < 7 else 0
