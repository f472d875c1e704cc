"""Text without the credentials that stand in it: whatever is declared, no record holds a password or a token.

Known by their form: what stands before the ``@`` of an address, parameters that are named like a secret (of a URL, a
connection string or a fragment), and the paths of web hooks, which are passwords. What is left names the same place.
"""

from __future__ import annotations

import re

from agentguard.core.values import Json

SECRET = "secret"  # noqa: S105 - the word that stands in a credential's place

# Names without `-`, `_` and `.`; one that ends in one of the second kind is a secret whatever stands before it.
_NAMES = frozenset(
    {"apikey", "awsaccesskeyid", "credential", "credentials", "googleaccessid", "hmac", "jwt", "passphrase", "policy"}
    | {"privatekey", "sas", "sig", "sslkey", "xamzcredential", "xgoogcredential", "authorization", "bearer", "session"}
)
_ENDS = (
    *("password", "passwd", "passcode", "pwd", "secret", "token", "signature", "accesskey", "accountkey", "apikey"),
    *("secretkey", "sharedkey", "sessionid", "authkey", "subscriptionkey"),
)
# Words that mean something else where no address is.
_IN_AN_ADDRESS = frozenset(
    {"auth", "code", "key", "pass", "pin", "otp", "ticket", "pw", "hash", "secretid", "assertion"}
)

_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}://)((?:[^\s/?#@]|@(?=[^\s/?#]*@))*)@")
# A password with a slash in it, which nobody should write so and somebody does. A port and a path are none.
_USERINFO_WITH_SLASHES = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s/?#@:]*):(?![0-9]{0,5}[/?#])([^\s@]*)@")
_BARE_USERINFO = re.compile(r"(?<![\w.%+:/@-])([\w.%+-]{1,64}):([^\s@/:]{1,256})@(?=[\w\[(])")
_NO_USER = frozenset({"acct", "mailto", "sip", "sips", "xmpp"})
_PAIR = re.compile(
    r"(?<![\w.%+~-])([\w.%+~-]{1,80})(\s{0,4}=(?!=)\s{0,4})('(?:[^'\\]|\\.){0,4096}'|\"[^\"]{0,4096}\"|[^&;#\s'\"]*)"
)
_HOOK = re.compile(
    r"(?i)(hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]+/"
    r"|api\.telegram\.org/(?:file/)?bot|outlook\.office(?:365)?\.com/webhook/|\.webhook\.office\.com/webhookb2/)"
    r"[^\s?#\"']+"
)
_ESCAPE = re.compile("%([0-9a-fA-F]{2})")
_COLON = re.compile(r":|%3[aA]")


def without_credentials(text: str) -> str:
    """The text with ``secret`` wherever a credential stood."""
    if "@" in text:
        text = _USERINFO.sub(_user, text)
        text = _USERINFO_WITH_SLASHES.sub(rf"\1:{SECRET}@", text)
        text = _BARE_USERINFO.sub(_bare, text)
    if "=" in text:
        text = _PAIR.sub(_pair, text)
    return _HOOK.sub(rf"\g<1>{SECRET}", text) if "/" in text else text


def may_hold(data: bytes) -> bool:
    """Whether JSON may hold a credential: each known form has one of these signs, which JSON writes as they are."""
    return b"@" in data or b"=" in data or b"/" in data


def holds_none(value: Json) -> bool:
    """Whether no text of a JSON value, names of members included, holds a credential."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if ("/" in item or "=" in item or "@" in item) and without_credentials(item) != item:
                return False
        elif isinstance(item, dict):
            pending += (*item, *item.values())
        elif isinstance(item, list):
            pending += item
    return True


def cleaned(value: Json) -> Json:
    """A JSON value without the credentials in its texts, names of members included."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {without_credentials(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def _user(found: re.Match[str]) -> str:
    scheme, given = found[1], found[2]
    colon = _COLON.search(given)
    if colon is not None:
        return f"{scheme}{given[: colon.start()]}:{SECRET}@"
    # In an address of the web a name alone is a token; in ssh or a database it is an account.
    return f"{scheme}{SECRET}@" if "http" in scheme.lower() and given else found[0]


def _bare(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in _NO_USER or found[2] == SECRET else f"{found[1]}:{SECRET}@"


def _pair(found: re.Match[str]) -> str:
    if not found[3]:
        return found[0]
    name = re.sub("[-_.~+]", "", _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), found[1])).lower()
    address = found.start() > 0 and found.string[found.start() - 1] in "?&;#"
    secret = name in _NAMES or name.endswith(_ENDS) or (address and name in _IN_AN_ADDRESS)
    return f"{found[1]}{found[2]}{SECRET}" if secret else found[0]
