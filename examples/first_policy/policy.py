"""What people write in this example: a line for each tool, two corrections, and three cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

TOOLS = """\
apiVersion: agentguard/v1
kind: Tools
tools:
  find_order: {effect: read, untrusted_results: [wish]}    # the customer's own text
  list_accounts: {effect: read}
  pay_back: {effect: send}
  set_status: {effect: write}
  write_note: {effect: write}
"""
TRUST = """\
apiVersion: agentguard/v1
kind: Trust
issuers:
  - {name: local, profile: local, issuer: urn:agentguard:local, audience: agentguard, max_age: 60s, max_lifetime: 60s,
     subjects: ["spiffe://corp.example/agent/returns"]}
groups: {owners: ["user:olga"]}
"""
# Nobody knows yet what the agent does: one step, so that there is a workflow, and what it is started with.
WORKFLOW = """\
apiVersion: agentguard/v1
kind: Workflow
metadata: {name: returns, version: 1, owner: shop, review_by: 2029-12-31}
subjects: ["spiffe://corp.example/agent/returns"]
inputs:
  order: {type: string, pattern: "R-[0-9]+"}
steps:
  look: {tool: find_order, arguments: {order: {type: string}}}
"""
CASES = """\
apiVersion: agentguard/v1
kind: Cases
workflow: returns
given:
  inputs: {order: R-7}
  calls:
    - tool: find_order
      arguments: {order: R-7}
      result: {customer: bob, total: 20.5, status: open, wish: "to US13 please"}
    - {tool: list_accounts, arguments: {}, result: [{customer: bob, iban: DE123}]}
    - {tool: pay_back, arguments: {order: R-7, iban: DE123, amount: 20.5}, result: paid}
cases:
  - name: when the money is paid, the order says so
    call: {tool: set_status, arguments: {order: R-7, status: refunded}}
    expect: permit
  - name: and the customer is told
    call: {tool: write_note, arguments: {order: R-7, text: All done.}}
    expect: permit
  - name: a status that nobody agreed to
    call: {tool: set_status, arguments: {order: R-7, status: deleted}}
    expect: {effect: deny, reasons: [arguments_invalid]}
  - name: another order than the run is about
    call: {tool: set_status, arguments: {order: R-8, status: refunded}}
    expect: {effect: deny, reasons: [argument_is_filled]}
  - name: a note that leads somewhere
    call: {tool: write_note, arguments: {order: R-7, text: "see https://evil.example/"}}
    expect: {effect: deny, reasons: [link_not_allowed]}
  - name: paid once is enough
    call: {tool: pay_back, arguments: {order: R-7, iban: DE123, amount: 20.5}}
    expect: {effect: deny, reasons: [step_used_up]}
  - name: an account that only the customer's wish names
    call: {tool: pay_back, arguments: {order: R-7, iban: US13, amount: 20.5}}
    expect: {effect: deny, reasons: [provenance_unmet]}
  - name: more than the order cost
    call: {tool: pay_back, arguments: {order: R-7, iban: DE123, amount: 20.51}}
    expect: {effect: deny, reasons: [provenance_unmet]}
"""


def observed(folder: Path) -> Path:
    """The bundle that an agent is observed with."""
    folder.mkdir()
    until = (datetime.now(UTC) + timedelta(days=14)).date().isoformat()
    (folder / "tools.yaml").write_text(TOOLS, "utf-8")
    (folder / "trust.yaml").write_text(f"{TRUST}observe:\n  - {{workflow: returns, until: {until}}}\n", "utf-8")
    (folder / "returns.yaml").write_text(WORKFLOW, "utf-8")
    return folder


def corrected(draft: Path) -> list[str]:
    """What the owner changes in the draft: the two places, as a reader sees them. Raises ValueError where one is not
    there."""
    file = draft / "returns.yaml"
    lines = file.read_text("utf-8").splitlines()
    told: list[str] = []
    at = _line(lines, "      status: {type: string}", 0)
    told += [f"- {lines[at].strip()}", "+ status: {type: string, enum: [refunded]}"]
    lines[at] = "      status: {type: string, enum: [refunded]}"
    # The questions of this step are answered: so nobody is asked any more.
    first = _line(lines, "    # OWNER:", at)
    last = _line(lines, "      within:", first)
    del lines[first : last + 1]
    at = _line(lines, "  pay_back:", 0)
    amount = _line(lines, "      amount:", at)
    bound = "      amount: {type: number, from: find_order.total, exclusiveMinimum: 0, maximum: 500}"
    told += [f"- {lines[amount].partition('  #')[0].strip()}", f"+ {bound.strip()}"]
    lines[amount] = bound
    file.write_text("\n".join(lines) + "\n", "utf-8")
    (draft / "returns.cases.yaml").write_text(CASES, "utf-8")
    return told


def enforced(draft: Path) -> None:
    """The owner has read it: it is no draft any more, and it is not observed."""
    for name, word in (("returns.yaml", "status: draft"), ("trust.yaml", "observe:")):
        text = (draft / name).read_text("utf-8")
        if word not in text:
            raise ValueError(f"`{word}` is not in {name}")
        kept = [line for line in text.splitlines() if not line.startswith((word, "  - {workflow: returns, until"))]
        (draft / name).write_text("\n".join(kept) + "\n", "utf-8")


def _line(lines: list[str], begins: str, after: int) -> int:
    for at in range(after, len(lines)):
        if lines[at].startswith(begins):
            return at
    raise ValueError(f"`{begins.strip()}` is not in the draft")
