"""What words in names usually mean. Guesses only: each that is used is marked as one in the draft.

An effect is guessed from verbs, and the worse one counts. A description is never believed: whoever writes it would
choose. What no word tells is no `read`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SEGMENT = re.compile(r"__|[./:]")

EFFECTS = ("read", "write", "send", "delete", "execute", "admin")

# A verb that says what it does wherever it stands in a name, but behind another verb that may have it as its object.
VERBS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("get", "list", "read", "search", "find", "fetch", "lookup", "look", "show", "view", "query", "describe"),
            *("count", "check", "retrieve", "browse", "inspect", "summarize", "summarise", "compare", "calculate"),
            *("compute", "convert", "translate", "validate", "verify", "preview", "estimate", "forecast", "select"),
            *("see", "peek", "tail", "head", "diff", "explain", "analyze", "analyse", "is", "has", "ping", "whoami"),
        ),
        "read",
    ),
    **dict.fromkeys(
        (
            *(
                "create",
                "add",
                "insert",
                "update",
                "upsert",
                "set",
                "put",
                "edit",
                "modify",
                "change",
                "rename",
                "move",
            ),
            *("copy", "save", "store", "write", "assign", "unassign", "tag", "close", "reopen", "open", "book"),
            *("reserve", "schedule", "reschedule", "order", "pay", "refund", "charge", "transfer", "approve", "reject"),
            *("cancel", "register", "merge", "import", "upload", "download", "append", "replace", "patch", "make"),
            *("mark", "log", "record", "link", "unlink", "buy", "purchase", "sell", "trade", "withdraw", "deposit"),
            *("subscribe", "unsubscribe", "checkout", "place", "accept", "complete", "resolve", "comment", "react"),
            *("generate", "draft", "sync", "commit", "checkin", "increase", "decrease", "adjust", "credit", "debit"),
        ),
        "write",
    ),
    **dict.fromkeys(
        (
            *("send", "email", "mail", "message", "post", "publish", "tweet", "reply", "forward", "share", "notify"),
            *("invite", "submit", "push", "call", "dial", "broadcast", "export", "text", "sms", "announce", "dm"),
            *("wire", "remit", "payout", "webhook"),
        ),
        "send",
    ),
    **dict.fromkeys(
        (
            *("delete", "remove", "drop", "purge", "destroy", "erase", "clear", "wipe", "trash", "archive", "truncate"),
            *("discard", "expire", "rm", "del", "uninstall", "terminate", "kill"),
        ),
        "delete",
    ),
    **dict.fromkeys(
        (
            *("execute", "exec", "run", "eval", "evaluate", "invoke", "start", "launch", "trigger", "deploy"),
            *(
                "restart",
                "stop",
                "shell",
                "bash",
                "command",
                "script",
                "terminal",
                "python",
                "sql",
                "reboot",
                "rollback",
            ),
            *("click", "type", "navigate", "press", "scale", "apply", "install"),
        ),
        "execute",
    ),
    **dict.fromkeys(
        (
            *(
                "grant",
                "revoke",
                "permit",
                "impersonate",
                "rotate",
                "provision",
                "suspend",
                "ban",
                "reset",
                "configure",
            ),
            *("enable", "disable", "sudo", "admin", "promote", "demote", "authorize", "authorise", "unlock", "lock"),
        ),
        "admin",
    ),
}
# These mean it wherever they stand, also behind another verb: `get_and_delete`, `fetch_then_send`, `find_delete`.
_ALWAYS = frozenset(
    (
        *("delete", "remove", "purge", "destroy", "erase", "wipe", "truncate", "send", "publish", "execute", "exec"),
        *("eval", "sudo", "impersonate", "grant", "revoke", "kill", "terminate", "deploy"),
    )
)
_JOINS = frozenset({"and", "then", "or", "n"})

_MONEY_VERBS = frozenset(
    (
        *("pay", "refund", "charge", "transfer", "buy", "purchase", "sell", "trade", "withdraw", "deposit", "wire"),
        *("remit", "payout", "checkout", "subscribe", "credit", "debit", "book", "order", "reserve"),
    )
)
_MONEY_THINGS = frozenset(
    (
        *("payment", "payments", "refund", "refunds", "transfer", "transfers", "payout", "payouts", "purchase"),
        *("withdrawal", "remittance", "charge", "checkout", "trade", "transaction", "transactions", "loan", "salary"),
    )
)
MONEY = frozenset(
    (
        *("amount", "amounts", "price", "cost", "cents", "money", "fee", "fees", "payment", "total", "sum", "budget"),
        *("balance", "discount", "credit", "debit", "charge", "salary", "tip", "deposit", "bid", "fare", "usd", "eur"),
        *("gbp", "chf", "jpy", "pence", "dollars", "euros", "refund", "payout", "premium", "bonus", "currency"),
    )
)
TENANT = frozenset(
    (
        *("tenant", "account", "customer", "client", "user", "org", "organization", "organisation", "workspace"),
        *("company", "merchant", "patient", "owner", "subscription", "household", "member", "employee", "student"),
        *("username", "userid", "customerid", "accountid", "tenantid", "login"),
    )
)
# Behind or before one of the words above these change nothing about what is meant.
_OF_AN_ID = frozenset(
    (
        *("id", "ids", "uuid", "guid", "no", "nr", "number", "name", "key", "ref", "code", "slug", "handle", "from"),
        *("source", "my", "the", "billing", "s", "uid"),
    )
)
RECIPIENT = frozenset(
    (
        *("to", "cc", "bcc", "recipient", "recipients", "payee", "beneficiary", "email", "emails", "mail", "phone"),
        *("channel", "channels", "iban", "bic", "swift", "attendees", "attendee", "participants", "participant"),
        *(
            "invitees",
            "invitee",
            "assignee",
            "webhook",
            "callback",
            "destination",
            "receiver",
            "counterparty",
            "wallet",
        ),
        *("address", "addresses", "chat", "room", "mobile", "tel", "fax", "followers", "audience", "dest", "target"),
    )
)
# Whose data a reading tool returns, where it is named by one of these.
OF_A_PERSON = frozenset({"email", "mail", "phone", "mobile", "tel", "iban"})
SECRET = frozenset(
    (
        *("password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials", "cvv", "cvc"),
        *("pin", "otp", "pwd", "auth"),
    )
)
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("client", "secret"), ("card", "number")}
)
# By these something is found that may be anybody's.
_BY_NUMBER = frozenset(
    (
        *("id", "ids", "uuid", "guid", "uid", "number", "numbers", "no", "nr", "key", "keys", "ref", "code", "handle"),
        *("path", "paths", "file", "files", "filename", "directory", "folder", "url", "urls", "uri", "host", "domain"),
        *("table", "bucket", "order", "orders", "ticket", "tickets", "case", "invoice", "booking", "reservation"),
    )
)
# What a person reads, and nothing is found by; and what a reading tool is asked in a person's words.
FREE_TEXTS = frozenset(
    (
        *("body", "content", "text", "message", "msg", "note", "notes", "comment", "comments", "subject", "title"),
        *("description", "reason", "summary", "caption", "memo", "explanation", "details", "feedback", "reply"),
    )
)
QUERIES = frozenset({"query", "q", "search", "keywords", "keyword", "search_query", "question", "prompt"})
# A `page_token` is a bookmark.
_NO_SECRETS = frozenset({"page", "next", "continuation", "sync", "cursor"})
# Tools of such a name return what outsiders wrote.
OUTSIDERS = frozenset(
    (
        *("mail", "mails", "email", "emails", "inbox", "message", "messages", "comment", "comments", "issue", "issues"),
        *("web", "webpage", "page", "url", "website", "http", "html", "feed", "rss", "review", "reviews", "chat"),
        *("ticket", "tickets", "post", "posts", "tweet", "tweets", "attachment", "document", "invoice", "browse"),
    )
)


def words(name: str) -> list[str]:
    """The words of a name in small letters: `sendEmail`, `send_email` and `mail.send` alike."""
    return [word.lower() for word in _WORD.findall(name[:500])]


def verbs(name: str) -> Iterator[tuple[str, str]]:
    """The verbs of a tool's name, each with the effect it usually has.

    The part behind the last dot, slash, colon or double underscore counts: the others say whose tool it is. A word that
    may be a verb or a thing (`order`, `mail`) is a verb where that part begins, behind words that are none
    (`slack_post`), and behind `and`.
    """
    *before_it, last = _SEGMENT.split(name[:500])
    for word in (word for segment in before_it for word in words(segment)):
        if word in _ALWAYS:
            yield word, VERBS[word]
    known, before = False, None
    for word in words(last):
        begins = before is None or before in _JOINS or not known
        if word in VERBS and (begins or word in _ALWAYS):
            known = True
            yield word, VERBS[word]
        before = word


def moves_money(name: str) -> bool:
    """Whether a tool of this name that changes something probably moves money, whatever its arguments are called."""
    return not _MONEY_THINGS.isdisjoint(words(name)) or any(verb in _MONEY_VERBS for verb, _ in verbs(name))


def is_money(name: str) -> bool:
    """Whether an argument of this name probably says how much."""
    return not MONEY.isdisjoint(words(name))


def is_tenant(name: str) -> bool:
    """Whether an argument of this name probably says whose things a call is about."""
    found = words(name)
    return not TENANT.isdisjoint(found) and all(word in TENANT or word in _OF_AN_ID for word in found)


def is_recipient(name: str) -> bool:
    """Whether an argument of this name probably says who gets something."""
    found = words(name)
    if not found or RECIPIENT.isdisjoint(found):
        return False
    return found[-1] in RECIPIENT or found[0] in RECIPIENT or set(found) <= RECIPIENT | _OF_AN_ID


def is_of_a_person(name: str) -> bool:
    """Whether a reading tool is probably told by this argument whose data it reads."""
    found = words(name)
    return not OF_A_PERSON.isdisjoint(found) and set(found) <= OF_A_PERSON | _OF_AN_ID | TENANT | {"address"}


def is_free_text(name: str, *, reads: bool) -> bool:
    """Whether an argument of this name holds words for a person, and nothing that a tool finds something by."""
    return name.lower() in FREE_TEXTS or (reads and name.lower() in QUERIES)


def says_whose(name: str) -> bool:
    """Whether an argument of this name may say whose thing a call is about, or which one: a person, an account, a
    number by which something is found, a place."""
    found = words(name)
    return (
        not found
        or any(word in TENANT or word in _BY_NUMBER for word in found)
        or is_recipient(name)
        or is_of_a_person(name)
        or is_secret(name)
    )


def is_secret(name: str) -> bool:
    """Whether an argument of this name probably holds a secret."""
    found = words(name)
    if not _NO_SECRETS.isdisjoint(found):
        return False
    return not SECRET.isdisjoint(found) or not _SECRET_PAIRS.isdisjoint(itertools.pairwise(found))
