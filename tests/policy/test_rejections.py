"""Every mistake an owner can make, each made once in a good bundle: the file, the exact line, and the words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentguard.errors import PolicyError, PolicyProblem
from agentguard.policy import load

W, T, D, I = "customer-export.yaml", "tools.yaml", "destinations.yaml", "trust.yaml"  # noqa: E741

# file, what is replaced, by what, text of the line that must be named, what the message must say (all parts)
MISTAKES: list[tuple[str, str, str, str, tuple[str, ...]]] = [
    # the head of a file
    (W, "apiVersion: agentguard/v1", "apiVersion: agentguard/v2", "apiVersion", ("`agentguard/v2`", "`agentguard/v1`")),
    (W, "kind: Workflow", "kind: Workflw", "kind: Workflw", ("no kind `Workflw`", "did you mean `Workflow`?")),
    (W, "kind: Workflow\n", "", "apiVersion", ("`kind` is missing", "`Workflow`")),
    (W, "apiVersion: agentguard/v1\n", "", "kind: Workflow", ("`apiVersion` is missing",)),
    # keys and types
    (W, "    at_most: 5", "    at_mots: 5", "at_mots", ("no key `at_mots`", "did you mean `at_most`?")),
    (W, "  owner: data-platform\n", "", "metadata:", ("`owner` is missing",)),
    (W, "  version: 3", "  version: three", "version: three", ("found `three`", "expected a whole number")),
    (W, "  version: 3", "  version: true", "version: true", ("found `true`", "expected a whole number")),
    (W, "  version: 3", "  version: 3.0", "version: 3.0", ("expected a whole number",)),
    (W, "  version: 3", "  version: 0", "version: 0", ("greater than or equal to 1",)),
    (W, "  review_by: 2027-06-30", "  review_by: 30 June 2027", "review_by", ("a day such as 2027-06-30",)),
    (W, "  review_by: 2027-06-30", "  review_by: 2027-02-30", "review_by", ("a day such as 2027-06-30",)),
    (W, "  review_by: 2027-06-30", "  review_by: 2027-6-30", "review_by", ("a day such as 2027-06-30",)),
    (W, "  max_age: 60s", "  max_age: 60", "max_age: 60", ("a duration such as 60s",)),
    (W, "  max_age: 60s", "  max_age: 0s", "max_age: 0s", ("longer than nothing",)),
    (W, "  max_age: 60s", "  max_age: 1w", "max_age: 1w", ("a duration such as 60s",)),
    (W, "subjects:\n", "status: final\nsubjects:\n", "status: final", ("found `final`", "expected `draft`")),
    (W, "      within: 30m", "      within: 99999d", "within", ("longer than 3660d",)),
    (W, "  - spiffe://corp.example/agent/exporter\n", "", "subjects:", ("a value is missing",)),
    (W, "subjects:\n  - spiffe://corp.example/agent/exporter", "subjects: []", "subjects: []", ("at least one",)),
    (W, "subjects:\n  - spiffe://corp.example/agent/exporter", "subjects: [a, a]", "subjects:", ("listed twice",)),
    (W, "at_most: 5", "at_most: 0", "at_most: 0", ("greater than or equal to 1",)),
    (W, "up_to: confidential", "up_to: confidental", "up_to", ("`confidental`", "did you mean `confidential`?")),
    (W, "{up_to: confidential}", "{}", "destinations: {}", ("`up_to: ...`",)),
    (W, "quorum: 2", "quorum: 0", "quorum: 0", ("greater than or equal to 1",)),
    (W, "  ticket: {type", "  tick-et: {type", "tick-et", ("conditions can write it after a dot",)),
    (W, "tables: result.tables", "tab-les: result.tables", "tab-les", ("conditions can write it after a dot",)),
    (W, "    arguments:\n      ticket_id: {type: string}\n", "", "look-up:", ("`arguments` is missing",)),
    (W, "steps:", "no_write_down: 1\nsteps:", "no_write_down", ("found `1`", "`true` or `false`")),
    (W, "steps:", "lasts: 0s\nsteps:", "lasts", ("longer than nothing",)),
    (W, "steps:", "lasts: 8\nsteps:", "lasts", ("expected a duration",)),
    (W, "steps:", "idle: never\nsteps:", "idle", ("expected a duration",)),
    (W, "steps:", "lasts: 30m\nidle: 30m\nsteps:", "apiVersion", ("an `idle` that is shorter than `lasts`",)),
    (W, "steps:", "risk: {hihg: {effects: [read]}}\nsteps:", "risk:", ("did you mean `high`?",)),
    (W, "steps:", "risk: {high: {effects: [raed]}}\nsteps:", "risk:", ("did you mean `read`?",)),
    (W, "steps:", "risk: {high: {lower_ceiling_by: 6}}\nsteps:", "risk:", ("less than or equal to 5",)),
    # names that are not there
    (
        W,
        "tool: warehouse.export",
        "tool: warehouse.exprt",
        "tool: warehouse.exprt",
        ("did you mean `warehouse.export`?",),
    ),
    (W, "tool: warehouse.export", "tool: warehouse", "tool: warehouse", ("no tool `warehouse`",)),
    (
        W,
        "tool: warehouse.export",
        "tool: export_orders",
        "tool: export_orders",
        ("no tool `export_orders`", "did you mean `warehouse.export`?"),
    ),
    (W, "target: {type: string}", "targt: {type: string}", "arguments:     ", ("`target`", "`targt`?")),
    (W, "after: [look-up]", "after: look-up", "after: look-up", ("expected a list, such as `[look-up]`",)),
    (W, "at_most: 5", 'at_most: "5"', "at_most:", ("found `5`, expected a whole number without quotes",)),
    (W, "[group:data-stewards]", "[group: data-stewards]", "from:", ("found a mapping", "in quotes")),
    (T, "effect: read", "effect: create", "effect: create", ("expected `admin`, `delete`",)),
    (W, "after: [look-up]", "after: [lookup]", "after: [lookup]", ("no step `lookup`", "did you mean `look-up`?")),
    (W, "after: [look-up]", "after_any: [lookup]", "after_any:", ("no step `lookup`",)),
    (W, "after: [look-up]", "not_after: [lookup]", "not_after:", ("no step `lookup`",)),
    (W, "after: [look-up]", "after: [look-up, look-up]", "after:", ("listed twice",)),
    (W, "group:data-stewards", "group:data-steward", "from:", ("no group `data-steward`", "`data-stewards`")),
    (W, "[group:data-stewards]", "[data-stewards]", "from:", ("`group:NAME`",)),
    (W, "of: export", "of: exprt", "rows: {sum", ("no step `exprt`", "did you mean `export`?")),
    (D, "prod: internal}", "prd: internal}", "reaches:", ("no zone `prd`", "did you mean `prod`?")),
    (D, "prod: {}", "prod: {then: {prd: secret}}", "then:", ("no zone `prd`", "did you mean `prod`?")),
    (D, "prod: {}", "prod: {then: {prod: scret}}", "then:", ("did you mean `secret`?",)),
    (D, "prod: {}", "prod: {first_contact: allow}", "first_contact:", ("expected `deny`, or who is asked",)),
    (D, "prod: {}", "prod: {first_contact: {from: [user:a]}}", "first_contact:", ("`within` is missing",)),
    (
        D,
        "prod: {}",
        "prod: {first_contact: {from: [group:data-steward], within: 1m}}",
        "first_contact:",
        ("no group `data-steward`", "`data-stewards`"),
    ),
    (
        D,
        "prod: {}",
        "prod: {first_contact: {from: [user:a], quorum: 2, within: 1m}}",
        "first_contact:",
        ("can never be reached", "only 1"),
    ),
    (W, "at_most: 5", "not_above: middling", "not_above:", ("found `middling`",)),
    (D, "zone: office,", "zone: ofice,", "zone: ofice", ("no zone `ofice`", "did you mean `office`?")),
    # the order of steps
    (
        W,
        "tool: tickets.get",
        "tool: tickets.get\n    after: [export]",
        "after: [export]",
        ("look-up -> export -> look-up",),
    ),
    (W, "after: [look-up]", "after: [export]", "after: [export]", ("wait for each other", "export -> export")),
    (W, "after: [look-up]", "after_any: [export]", "after_any:", ("can never be reached",)),
    (W, "after: [look-up]", "after: [look-up]\n    not_after: [look-up]", "not_after:", ("can never be reached",)),
    # destinations and approvals that cannot work
    (W, "    destinations: {up_to: confidential}\n", "", "  export:", ("must say how far",)),
    (
        W,
        "tool: tickets.get",
        "tool: tickets.get\n    destinations: {up_to: secret}",
        "destinations: {up_to: secret}",
        ("no destinations",),
    ),
    (W, "quorum: 2", "quorum: 3", "quorum: 3", ("can never be reached", "only 2")),
    (W, "[group:data-stewards]", "[user:alice, user:alice]", "quorum: 2", ("only 1",)),
    (W, "[group:data-stewards]", "[user:alice, user:ALICE]", "quorum: 2", ("only 1",)),
    (W, "[group:data-stewards]", "{group:data-stewards: 1}", "quorum: 2", ("`quorum` belongs to a list",)),
    (W, "[group:data-stewards]\n      quorum: 2", "{group:data-stewards: 3}", "from:", ("quorum 3", "only 2")),
    (W, "[group:data-stewards]\n      quorum: 2", "{group:data-stewards: 0}", "from:", ("greater than or equal to 1",)),
    (W, "[group:data-stewards]\n      quorum: 2", "{}", "from:", ("at least one entry",)),
    (W, "[group:data-stewards]\n      quorum: 2", "{group:data-stuards: 1}", "from:", ("no group `data-stuards`",)),
    (
        W,
        "[group:data-stewards]\n      quorum: 2",
        "{group:data-stewards: 2, user:alice: 1}",
        "from:",
        ("never be reached together", "one person counts for one group"),
    ),
    (W, "[group:data-stewards]", "[requester, group:data-stewards]", "from:", ("counts for no group",)),
    (W, "[group:data-stewards]", "[requester]", "from:", ("one person",)),
    (W, "[group:data-stewards]", "data-stewards", "from:", ("expected a list",)),
    (W, "quorum: 2", "quorum: 2\n      deny_quorum: 0", "deny_quorum", ("greater than or equal to 1",)),
    (W, "quorum: 2", "quorum: 2\n      use_within: 0s", "use_within", ("longer than nothing",)),
    # budgets
    (W, "sum: args.rows, of", "of", "rows: {of", ("`sum: EXPRESSION` or `count: true`",)),
    (W, "sum: args.rows, of", "sum: args.rows, count: true, of", "rows: {sum", ("not both",)),
    (W, "sum: args.rows, of", "count: false, of", "rows: {count", ("expected `True`",)),
    (W, "at_most: 100000", "at_most: -1", "rows: {sum", ("negative",)),
    (W, "at_most: 100000", "at_most: 0.0000001", "rows: {sum", ("six decimals",)),
    (W, "sum: args.rows", "sum: args.table", "rows: {sum", ("in step `export`", "gives text", "expected a number")),
    (W, "sum: args.rows", "sum: args.row", "rows: {sum", ("no `args.row`", "did you mean `rows`?")),
    (W, "per: 1d", "per: day", "per: day", ("a duration such as",)),
    # conditions
    (W, "args.ticket_id == inputs.ticket", "args.ticket_id = 'a'", "- args.ticket_id = ", ("write `==`", "column 16")),
    (W, "args.rows > 1000", "rows > 1000", "when: rows", ("did you mean `args.rows`?",)),
    (W, "args.rows > 1000", "args.rows > 1000 EUR", "when: args.rows", ("without a unit",)),
    (W, "args.rows > 1000", "args.rows > 1,000", "when: args.rows", ("without separators",)),
    (W, "args.ticket_id == inputs.ticket", "args.ticket_id == low", "== low", ('such as `"low"`',)),
    (W, "args.ticket_id == inputs.ticket", "subject == 'spiffe://x'", "subject ==", ("`subject` is never",)),
    (
        W,
        "args.ticket_id == inputs.ticket",
        "args.ticketid == inputs.ticket",
        "- args.ticketid",
        ("did you mean `ticket_id`?",),
    ),
    (
        W,
        "args.ticket_id == inputs.ticket",
        "args.ticket_id == inputs.tiket",
        "inputs.tiket",
        ("did you mean `ticket`?",),
    ),
    (
        W,
        "args.ticket_id == inputs.ticket",
        "arg.ticket_id == inputs.ticket",
        "- arg.",
        ("no name `arg", "did you mean `args`?"),
    ),
    (
        W,
        "args.ticket_id == inputs.ticket",
        "args.ticket_id",
        "- args.ticket_id",
        ("gives text, expected true or false",),
    ),
    (W, "args.ticket_id == inputs.ticket", "args.ticket_id == 7", "== 7", ("never equal to 7",)),
    (W, "args.table in kept.tables", "args.table in kept.tabels", "kept.tabels", ("did you mean `tables`?",)),
    (W, "args.table in kept.tables", "counts.lookup > 0", "counts.lookup", ("did you mean `look-up`?",)),
    (W, "args.table in kept.tables", "counts.look-up > 0", "counts.look-up", ('counts["look-up"]',)),
    (W, "args.table in kept.tables", "risk == 'hihg'", "risk ==", ('never "hihg"', "did you mean `high`?")),
    (W, "args.table in kept.tables", "destination.sensitivity < 'secret'", "sensitivity <", ("compares its letters",)),
    (W, "args.table in kept.tables", "args.table.matches('ord')", "matches", ("middle of a text",)),
    (W, "args.table in kept.tables", "args.table.matches('^a|b$')", "matches", ("middle of a text",)),
    (W, "args.table in kept.tables", "args.table.matches('(?m)^a$')", "matches", ("flag `m`",)),
    (W, "args.table in kept.tables", "args.table.matches('^(a$')", "matches", ("not a regular expression",)),
    (W, "args.table in kept.tables", "args.table.matches(args.target)", "matches", ("must be written as text",)),
    (
        W,
        "args.ticket_id == inputs.ticket",
        "destination.zone == 'x'",
        "destination.zone",
        ("declares no destinations",),
    ),
    (
        W,
        "when: args.rows > 1000",
        "when: args.rows > '1000'",
        "when:",
        ("`>` does not go with a whole number and text",),
    ),
    (W, "when: args.rows > 1000", "when: args.rows > 10.5", "when:", ("write `double(...)`",)),
    (W, "when: args.rows > 1000", "when: claims.x", "when:", ("unknown type",)),
    # a list that reads like always and would say never
    (W, "after: [look-up]", "after_any: []", "after_any: []", ("is empty", "Leave the key out")),
    # argument shapes
    (W, "maximum: 50000", "maximum: 0", "rows:  {type", ("`maximum` is below `minimum`",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, required: true}", "required", ("`optional: true`",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: strng}", "ticket_id: {type", ("did you mean `string`?",)),
    (W, "ticket_id: {type: string}", "ticket_id: {}", "ticket_id: {}", ("says no `type`",)),
    (W, "ticket_id: {type: string}", "ticket_id: string", "ticket_id: string", ("found `string`", "a mapping")),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, patern: x}", "patern", ("did you mean `pattern`?",)),
    (
        W,
        "ticket_id: {type: string}",
        "ticket_id: {type: string, maximum: 5}",
        "maximum",
        ("says nothing about string",),
    ),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, format: emial}", "format", ("Unknown format",)),
    (W, "ticket_id: {type: string}", "ticket_id: {$ref: 'https://a.example/b'}", "$ref", ("`$ref` is not used here",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, pattern: '(?=a)b'}", "pattern: '(", ("linear time",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, pattern: 'a)|(b'}", "pattern: 'a", ("linear time",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: array}", "ticket_id:", ("must say its `items`",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: object}", "ticket_id:", ("must say its `properties`",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, optional: 1}", "optional", ("`true` or `false`",)),
    (W, "ticket_id: {type: string}", "ticket_id: {type: string, minLength: a}", "minLength", ("not a JSON Schema",)),
    (W, 'pattern: "EXP-[0-9]+"', 'pattern: "EXP-["', "ticket:", ("inputs.ticket.pattern", "linear time")),
    # keeps
    (W, "tables: result.tables", "tables: tables", "tables: tables", ("a path such as `result.tables`",)),
    (W, "tables: result.tables", "tables: result.tables[**]", "tables: result", ("cannot read `[**]`",)),
    (W, "tables: result.tables", "tables: 'result[?id == args.ticket]'", "tables: '", ("no argument `ticket`",)),
    (W, "tables: result.tables", "tables: 'result[?id == inputs.tikket]'", "tables: '", ("no input `tikket`",)),
    (W, "tables: result.tables", "tables: 'result[?id == kept.table]'", "tables: '", ("did you mean `tables`?",)),
    (W, "tables: result.tables", "tables: args.nothing", "tables: args", ("no argument `nothing`",)),
    (W, "tables: result.tables", "tables: args", "tables: args", ("`args` names no argument",)),
    (W, "tables: result.tables", "tables: inputs.ticket", "tables: inputs", ("begins with `args` or `result`",)),
    (W, "tables: result.tables", "tables: {by: args.ticket_id}", "tables: {by", ("belong together",)),
    (W, "tables: result.tables", "tables: {by: 'result[*]', value: result}", "tables: {by", ("several values",)),
    (W, "tables: result.tables", "tables: {by: args.tickt, value: result}", "tables: {by", ("no argument `tickt`",)),
    (W, "tables: result.tables", "tables: {add: result, from: result}", "tables: {add", ("expected one of",)),
    (W, "tables: result.tables", "tables: {from: result, key: id}", "tables: {from", ("`key` belongs to `add`",)),
    (W, "tables: result.tables", "tables: {from: result, as: float}", "as: float", ("number", "integer", "text")),
    (W, "tables: result.tables", "tables: {}", "tables: {}", ("expected one of",)),
    (W, "tables: result.tables", "tables: {from: result, match: '('}", "match", ("not a regular expression",)),
    (W, "tables: result.tables", "tables: {from: result, match: 'a'}", "match", ("0 groups", "exactly one")),
    (W, "tables: result.tables", "tables: {form: result}", "{form", ("did you mean `from`?",)),
    # tools
    (T, "effect: read", "effect: reed", "effect: reed", ("`reed`", "did you mean `read`?")),
    (T, "aliases: [export_orders]", "aliases: [get_ticket]", "aliases: [get_ticket]\n    secrets", ("given twice",)),
    (T, "aliases: [export_orders]", "aliases: [tickets.get]", "aliases: [tickets.get]", ("given twice",)),
    (T, "{argument: target, kind: url}", "{kind: url}", "- {kind: url}", ("`argument`", "`fixed`")),
    (T, "{argument: target, kind: url}", "{argument: target}", "- {argument: target}", ("`kind` is missing",)),
    (T, "sha256:0000", "sha256:000", "fingerprint", ("64 hex digits",)),
    (T, "secrets:", "secret:", "secret:", ("did you mean `secrets`?",)),
    # destinations
    (D, "sensitivity: internal,", "sensitivity: internl,", "internl", ("did you mean `internal`?",)),
    (D, "  prod: {}", "  prod: {subjects: [spiffe://corp.example/agent/exporter]}", "prod: {", ("given twice",)),
    (D, "restricted: 30s", "restrictd: 30s", "restrictd", ("did you mean `restricted`?",)),
    (D, "secret: call-bound", "secret: callbound", "callbound", ("did you mean `call-bound`?",)),
    # trust
    (I, "name: corp", "name: local", "- name: local\n    profile: spiffe", ("issuer `local` is given twice",)),
    (I, "profile: spiffe", "profile: spife", "profile: spife", ("did you mean `spiffe`?",)),
    (I, "    keys_file: keys.json\n", "", "- name: corp", ("`keys_file` or `keys_url`",)),
    (I, "keys_file: keys.json", "keys_file: a\n    keys_url: https://b.example", "- name: corp", ("not both",)),
    (I, "    trust_domain: corp.example\n", "", "- name: corp", ("needs `trust_domain`",)),
    (I, "    subjects: [spiffe://corp.example/agent/exporter]\n", "", "- name: local", ("needs `subjects`",)),
    (I, "    max_lifetime: 1h\n", "", "- name: corp", ("`max_lifetime` is missing",)),
    (I, "[user:alice, user:bob]", "[alice, user:bob]", "data-stewards", ("`user:NAME`",)),
    (I, "[user:alice, user:bob]", "[]", "data-stewards", ("at least one",)),
    # the console
    (I, "groups:", "console: {see: [group:data-steward]}\ngroups:", "console:", ("did you mean `data-stewards`?",)),
    (I, "groups:", "console: {see: [alice]}\ngroups:", "console:", ("`user:NAME`",)),
    (I, "groups:", "console: {watch: [anyone]}\ngroups:", "console:", ("no key `watch`",)),
    (
        I,
        "groups:",
        "console: {login: {issuer: https://a.example, client_id: c}}\ngroups:",
        "console:",
        ("`person_from`",),
    ),
    (
        I,
        "groups:",
        "console: {login: {issuer: http://a.example, client_id: c, person_from: sub}}\ngroups:",
        "console:",
        ("an https:// address",),
    ),
    # rules that raise risk
    (W, "steps:", "raise_risk: [{to: low, after: {calls: 1, within: 1m}}]\nsteps:", "raise_risk:", ("`low`", "`high`")),
    (
        W,
        "steps:",
        "raise_risk: [{to: high, after: {within: 1m}}]\nsteps:",
        "raise_risk:",
        ("`denials: NUMBER` or `calls: NUMBER`",),
    ),
    (
        W,
        "steps:",
        "raise_risk: [{to: high, after: {calls: 1, denials: 1, within: 1m}}]\nsteps:",
        "raise_risk:",
        ("not both",),
    ),
    (W, "steps:", "raise_risk: [{to: high, after: {calls: 1}}]\nsteps:", "raise_risk:", ("`within` is missing",)),
    (
        W,
        "steps:",
        "raise_risk: [{to: high}]\nsteps:",
        "raise_risk:",
        ("expected `after: {...}` or `first_use_of: zone`",),
    ),
    (
        W,
        "steps:",
        "raise_risk: [{to: high, after: {calls: 0, within: 1m}}]\nsteps:",
        "raise_risk:",
        ("greater than or equal to 1",),
    ),
    (
        W,
        "steps:",
        "raise_risk: [{to: high, after: {calls: 10001, within: 1m}}]\nsteps:",
        "raise_risk:",
        ("less than or equal to 10000",),
    ),
    (
        W,
        "steps:",
        "raise_risk: [{to: high, after: {calls: 1, within: 0s}}]\nsteps:",
        "raise_risk:",
        ("longer than nothing",),
    ),
    (
        W,
        "steps:",
        "raise_risk:\n  - {to: high, after: {calls: 1, within: 1s}}\n"
        "  - {name: '1', to: high, after: {calls: 1, within: 1s}}\nsteps:",
        "  - {name: '1'",
        ("rule `1` is given twice",),
    ),
    (D, "risk: {medium", "risk: {mediun", "risk:", ("did you mean `medium`?",)),
    (D, "{up_to: public}", "{up_to: pubic}", "risk:", ("did you mean `public`?",)),
    (D, "{up_to: public}", "{}", "risk:", ("`up_to` is missing",)),
    # streams of signals
    (I, "    keys_url: https://idp.corp.example/keys\n", "", "- name: idp", ("needs `keys_file` or `keys_url`",)),
    (I, "keys_url: https://idp", "keys_file: idp.json\n    keys_url: https://idp", "- name: idp", ("not both",)),
    (
        I,
        "keys_url: https://idp",
        "keys_url: http://idp",
        "keys_url",
        ("http://idp.corp.example/keys", "an https:// address"),
    ),
    (I, "keys_url: https://idp", "keys_url: https://eli@idp", "keys_url", ("without user name",)),
    (I, "http://127.0.0.1:8080/poll", "http://127.0.0.1.example/poll", "poll_url", ("on loopback",)),
    (I, "http://127.0.0.1:8080/poll", "ftp://127.0.0.1/poll", "poll_url", ("an https:// address",)),
    (
        I,
        "authorization_env: IDP",
        "authorization_env: IDP ",
        "authorization_env",
        ("`IDP _AUTHORIZATION`", "environment variable"),
    ),
    (I, "corp.example#*", "corp.example#a*", "about:", ("#a*", "`...#*`")),
    (I, '"user:eli"', '"*"', "about:", ("`*`", "`user:NAME`")),
    (I, "    max_silence: 10m\n", "", "- name: idp", ("needs `max_silence`",)),
    (I, "max_silence: 10m", "max_silence: 0s", "max_silence: 0s", ("longer than nothing",)),
    (I, "max_silence: 10m", "max_silence: 10m\n    skew: 61s", "- name: idp", ("`skew` is at most 60s",)),
    (I, "[restricted, secret]", "[restricted]", "- name: idp", ("add secret",)),
    (I, "[restricted, secret]", "[internal, secret]", "- name: idp", ("add confidential, restricted",)),
    (I, "[restricted, secret]", "[restricted, secrets]", "required_for", ("did you mean `secret`?",)),
    (
        I,
        "  - name: idp\n",
        "  - {name: idp, issuer: a, audience: b, keys_file: c}\n  - name: idp\n",
        "- name: idp",
        ("stream `idp` is given twice",),
    ),
    (I, "issuer: https://quiet", "issuer: https://idp.corp", "- name: idp", ("a stream from and to", "is given twice")),
    # YAML
    (W, "at_most: 5", "at_most: 5\n    at_most: 6", "at_most: 6", ("given twice", "the first is in line")),
    (W, "at_most: 5", "at_most: &five 5", "&five", ("anchors are not used here",)),
    (W, "at_most: 5", "at_most: *five", "*five", ("aliases are not used here",)),
    (W, "at_most: 5", "at_most: !!int 5", "!!int", ("tags are not used here",)),
    (W, "at_most: 5", "<<: {at_most: 5}", "<<:", ("not text to every reader",)),
    (W, "owner: data-platform", "owner: no", "owner: no", ("`no`", "use quotes")),
    (W, "owner: data-platform", "owner: ~", "owner: ~", ("`~`",)),
    (W, "owner: data-platform", "owner: 2027-01-01", "owner: 2027", ("is a date to some readers",)),
    (W, "at_most: 5", "at_most: 010", "at_most: 010", ("not the same number",)),
    (W, "at_most: 5", "at_most: 12:30", "at_most: 12:30", ("not the same number",)),
    (W, "at_most: 100000", "at_most: 100_000", "100_000", ("not the same number",)),
    (W, "at_most: 5", "at_most:", "at_most:\n", ("a value is missing",)),
    (W, "at_most: 5", "at_most: [5", "at_most: [5", ("not YAML", "not closed", "noticed in line")),
    (W, 'pattern: "EXP-[0-9]+"', "pattern: EXP-[0-9]+", "pattern: EXP", ("not YAML", "in quotes")),
    (W, 'pattern: "EXP-[0-9]+"', 'pattern: "EXP-\\d+"', "pattern: ", ("not YAML", "use single quotes")),
    (W, "    at_most: 5", "\tat_most: 5", "\tat_most: 5", ("not YAML", "not with tabs")),
    (W, "    at_most: 5", "   at_most: 5", "   at_most: 5", ("not YAML", "not indented like")),
    (W, "    at_most: 5", "     at_most: 5", "     at_most: 5", ("not YAML", "indented too far")),
    (W, "at_most: 5", "at_most:5", "at_most:5", ("not YAML", "a space is missing after the colon")),
    (W, "- args.ticket_id ==", "- 'a' == args.ticket_id ||", "- 'a'", ("not YAML", "whole text in single quotes")),
    (W, "- args.ticket_id ==", "- !(args.ticket_id ==", "- !(", ("begins with `!` in quotes",)),
    (W, "when: args.rows > 1000", "when: *rows", "when: *rows", ("begins with `*` in quotes",)),
    (W, "purpose: Export", "purpose: Why: Export", "purpose:", ("not YAML", "a colon and a space in quotes")),
    (W, "minimum: 1,", "minimum: 1,000,", "minimum:", ("`000`", "without commas")),
    (
        W,
        "up_to: confidential",
        "up_to:confidential",
        "up_to:confidential",
        ("after the colon in `up_to:confidential`",),
    ),
    (W, "  review_by: 2027-06-30", "  reviewed_by: 2027-06-30", "reviewed_by", ("did you mean the key `review_by`?",)),
    (W, "owner: data-platform", "owner: data\u202eplatform", "owner:", ("U+202E",)),
    (W, "owner: data-platform", "own\u00e9r: data", "own\u00e9r", ("printable ASCII",)),
    (W, "owner: data-platform", 'owner: "data\\0platform"', "owner:", ("U+0000",)),
]


def _problems(directory: Path) -> tuple[PolicyProblem, ...]:
    with pytest.raises(PolicyError) as caught:
        load(directory)
    return caught.value.problems


@pytest.mark.parametrize(
    ("file", "old", "new", "anchor", "said"), MISTAKES, ids=[f"{m[0]}:{m[2][:50]!r}" for m in MISTAKES]
)
def test_a_mistake_is_named_with_its_line(
    broken: Callable[[str, str, str], Path], file: str, old: str, new: str, anchor: str, said: tuple[str, ...]
) -> None:
    """The owner is told where, what was found and what was expected, and about nothing else."""
    directory = broken(file, old, new)
    text = (directory / file).read_text()
    assert anchor in text
    line = text[: text.index(anchor)].count("\n") + 1

    problems = _problems(directory)

    assert {problem.file for problem in problems} == {str(directory / file)}
    matching = [problem for problem in problems if problem.line == line]
    assert matching, [str(problem) for problem in problems]
    assert any(all(part in problem.message for part in said) for problem in matching), [str(p) for p in problems]
    assert len(problems) <= 2, [str(problem) for problem in problems]


def test_all_problems_are_told_at_once(broken: Callable[[str, str, str], Path]) -> None:
    """An owner who fixes one mistake should not have to find the next by trying."""
    broken(W, "args.table in kept.tables", "args.tabel in kept.tables")
    directory = broken(W, "quorum: 2", "quorum: 9")

    assert len(_problems(directory)) == 2


def test_a_broken_tools_file_is_not_blamed_on_the_workflows(broken: Callable[[str, str, str], Path]) -> None:
    """With the tools unreadable, "there is no tool" would send the owner to the wrong file."""
    directory = broken(T, "effect: read", "effect: reed")

    assert [Path(problem.file).name for problem in _problems(directory)] == [T]


def test_a_name_given_twice_across_files_names_the_first(bundle_dir: Path) -> None:
    """Which of two workflows of one name is meant cannot be told."""
    (bundle_dir / "other.yaml").write_text((bundle_dir / W).read_text())

    (problem,) = _problems(bundle_dir)

    assert (Path(problem.file).name, problem.line) == ("other.yaml", 4)
    assert f"the first is at {bundle_dir / W}:4" in problem.message


def test_problems_do_not_flood(bundle_dir: Path) -> None:
    """A wrong generator makes thousands; the first two hundred are enough."""
    tools = "\n".join(f"  t{index}: {{effect: reed}}" for index in range(300))
    (bundle_dir / "many.yaml").write_text(f"apiVersion: agentguard/v1\nkind: Tools\ntools:\n{tools}\n")

    problems = _problems(bundle_dir)

    assert len(problems) == 201
    assert "and 100 more problems" in problems[-1].message
