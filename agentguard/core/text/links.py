"""Links and addresses in a text: whatever GitHub's Markdown, HTML, Slack or a mail client makes clickable or loads.

This finds more than any one of them: a text is read in every way in which one of them may read it (``readings``), and
what is found in any reading counts. What it finds:

- an address with a scheme (``https://…``, ``ftp://…``, any ``name://``), and the schemes that need no slashes
  (``mailto:``, ``javascript:``, ``data:`` …); ``//host.example``;
- a bare name of a host below a top-level domain (``example.com/x``), ``www.…``; numbers of hosts with a path or port;
- Markdown's ``[x](y)``, ``![x](y)``, ``[x]: y``, ``<scheme:…>``; Slack's ``<y|x>``; attributes of HTML that lead
  somewhere or load something, ``url(…)`` in its styles;
- addresses of e-mail; and mentions: ``@name``, Slack's ``<@U1>``, ``<#C1>``, ``<!here>``.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agentguard.core.text.readings import MAX_TEXT, readings

# More links and addresses in one text are not looked at, and then the text is refused.
MAX_FOUND = 200
_MAX_ATS = 2_000
_MAX_LINK = 8192
_MAX_LOCAL, _MAX_DOMAIN = 64, 255


class Found(enum.StrEnum):
    """What was found: an address of the web, one of e-mail, somebody mentioned, or what leads elsewhere."""

    URL = "url"
    EMAIL = "email"
    MENTION = "mention"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that can be clicked, or is loaded. ``target``: where it leads, as text. ``written``: with its scheme.

    A bare address of e-mail is no link that somebody wrote: ``mailto:`` before it makes it one.
    """

    found: Found
    target: str
    written: bool = True


@lru_cache(maxsize=16)  # one call's text is looked at by several rules, and again at each look at the run
def links_in(text: str) -> tuple[Link, ...] | None:
    """Every link and address in a text, each once; None where the text is too long, or there are too many."""
    if len(text) > MAX_TEXT or text.count("@") > _MAX_ATS:
        return None
    found: dict[Link, None] = {}
    for reading in readings(text):
        for link in _in_reading(reading):
            found[link] = None
            if len(found) > MAX_FOUND:
                return None
    return tuple(found)


def links_of(text: str) -> Iterator[Link]:
    """Every link and address in a text of any length, some more than once. A long one is read in overlapping pieces."""
    for start in range(0, max(len(text), 1), MAX_TEXT - _MAX_LINK):
        for reading in readings(text[start : start + MAX_TEXT]):
            yield from _in_reading(reading)


def link_key(target: str) -> str | None:
    """An address of the web in one spelling, without its scheme; None for one that can be read in two ways."""
    target = target.replace("&amp;", "&")
    read = _KEYED.fullmatch(target)
    if read is None or len(target) > _MAX_LINK or not target.isprintable():
        return None
    scheme, host, port, rest = read[1].casefold(), read[2].casefold(), read[3] or "", read[4] or ""
    labels = [_label(label) for label in unicodedata.normalize("NFKC", host).removesuffix(".").split(".")]
    if None in labels or not all(labels) or _DOTS.search(rest) is not None:
        return None
    shown_port = "" if port in ("", ":", _PORTS[scheme]) else port
    return f"{'.'.join(map(str, labels))}{shown_port}{_PERCENT_HEX.sub(lambda found: found[0].upper(), rest)}".rstrip(
        "/"
    )


_KEYED = re.compile(r"(https?)://([^\s/?#@:\\\[\]%]+)(:[0-9]{0,5})?([/?#][^\s\\]*)?", re.IGNORECASE)
# Browsers resolve these, so the address is another one.
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?=[/?#;]|$)", re.IGNORECASE)
_PORTS = {"http": ":80", "https": ":443"}
_PERCENT_HEX = re.compile("%[0-9a-fA-F]{2}")


def _label(label: str) -> str | None:
    """A part of a host's name as people write it."""
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return None


def address_key(address: str) -> str:
    """An address of e-mail in one spelling."""
    return address.casefold().removesuffix(".")


def addresses_of(link: Link) -> tuple[str, ...]:
    """The addresses of e-mail that a link writes to."""
    if link.found is Found.EMAIL:
        return (link.target,)
    if link.found is Found.OTHER and link.target[:7].casefold() == "mailto:":
        parts = _IN_MAILTO.split(_percent_read(link.target[7:]))
        return tuple(dict.fromkeys(address for part in parts for address in _emails(part)))
    return ()


# Where a link in a text ends. A quote or a bar may stand in one by the letter, and no program takes them along.
_REST = r"[^\s<>\"'`|^{}]"
_WITH_SLASHES = re.compile(
    rf"(?<![a-z0-9])([a-z][a-z0-9+.-]{{0,31}}):[/\\]{{2,}}({_REST}{{0,{_MAX_LINK}}})", re.IGNORECASE
)
_ONE_SLASH_OR_NONE = re.compile(
    r"(?<![a-z0-9])((?:javascript|vbscript|livescript|jscript|view-source|mailto|tel|sms|smsto|mms|callto|skype|facetime|"
    r"facetime-audio|sip|sips|xmpp|whatsapp|tg|intent|market|magnet|webcal|feed|jar|ms-[a-z-]+|blob|filesystem|cid|mid|"
    r"slack|zoommtg|msteams|vscode|steam|spotify|bitcoin|ethereum|geo|itms[a-z-]*):(?=\S)"
    rf"|file:(?=[/\\])|about:(?=blank|srcdoc)|data:(?=[a-z]+/|[,;])|https?:(?=[^\s/\\])){_REST}{{0,2000}}",
    re.IGNORECASE,
)
_NO_SCHEME = re.compile(
    rf"(?<![:/\\\w])[/\\]{{2,}}(?=[\w.-]*\.[\w-]|\[|localhost)({_REST}{{1,{_MAX_LINK}}})", re.IGNORECASE
)
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_HOST_IN_TEXT = re.compile(
    rf"(?<![\w@/\\:.-])((?:{_LABEL}\.)+)({_LABEL})(?![\w-]|\.\w)\.?((?::[0-9]{{1,5}})?(?:[/?#\\]{_REST}{{0,2000}})?)"
)
_AFTER_COLON = re.compile(
    rf"(?<=[\w)]):((?:{_LABEL}\.)+)({_LABEL})(?![\w@-]|\.\w)((?::[0-9]{{1,5}})?(?:[/?#]{_REST}{{0,2000}})?)"
)
_WWW = re.compile(rf"(?<![\w@/-])www\.[^\W_]{_REST}{{1,2000}}", re.IGNORECASE)
_NUMBERS = re.compile(rf"(?<![\w@/.-])((?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}(?::[0-9]{{1,5}}|(?=/)){_REST}{{0,2000}})")
_ANGLE = re.compile(r"<([a-z][a-z0-9+.-]{1,31}:[^\s<>]{0,8192})>", re.IGNORECASE)
_BARRED = re.compile(r"<([^<>|\s]{1,8192})\|[^<>]*>")
_SLACK_MENTION = re.compile(r"<([@#!][^<>\s|]{1,200})(?:\|[^<>]*)?>")
_MENTION = re.compile(
    r"(?<![\w@/.`])@([a-z0-9](?:[a-z0-9_-]{0,38})(?:/[a-z0-9._-]{1,100})?)(?![\w@.])|(?<![\w@/.`])@([a-z0-9][a-z0-9_-]{0,38})(?=\.(?:\s|$))",
    re.IGNORECASE,
)
_ANGLE_EMAIL = re.compile(r"<([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9.-]{1,253})>", re.IGNORECASE)
_INLINE = re.compile(r"\]\(\s*(?:<([^<>\n]{0,8192})>|([^\s()<>]{0,8192}))")
_DEFINED = re.compile(r"(?m)^[ \t>*+\-0-9.)]*\[(?!\^)[^\n]{0,1000}?\]:[ \t]*(?:\n[ \t>]*)?<?([^\s<>]{1,8192})")
_TAG_STARTS = re.compile(r"<[a-zA-Z/!?]")
_ATTRIBUTE = re.compile(
    r"(?<![\w-])(href|src|srcset|imagesrcset|action|formaction|background|poster|data|cite|ping|longdesc|lowsrc|dynsrc|"
    r"codebase|classid|archive|code|manifest|profile|usemap|icon|from|to|values|xlink:href|xml:base|srcdoc)"
    r"\s*=\s*(?:\"([^\"]{0,8192})|'([^']{0,8192})|([^\s\"'<>]{1,8192}))",
    re.IGNORECASE,
)
_STYLE = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"']?|\burl\s*=\s*[\"']?)([^\s\"')<>;]{1,8192})", re.IGNORECASE)
_SPACE_IN_LINK = re.compile(r"[\t\r\n]+")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_TRAILING = ".,:;!?*_~'\")]}>|\\"
_SAFE = frozenset({"http", "https"})
# What a text names by these is a place of the web in another guise.
_WEB = frozenset({"http", "https", "ftp", "ftps", "ws", "wss"})


def _in_reading(text: str) -> Iterator[Link]:
    for match in _WITH_SLASHES.finditer(text):
        yield from _schemed(text, match.start(), match.end())
    for match in _ONE_SLASH_OR_NONE.finditer(text):
        yield Link(Found.OTHER, _trimmed(match[0]))
    for match in _NO_SCHEME.finditer(text):
        yield Link(Found.URL, "https://" + _trimmed(match[1]))
    yield from _hosts(text)
    for match in _WWW.finditer(text):
        yield Link(Found.URL, "https://" + _trimmed(match[0]), written=False)
    for match in _NUMBERS.finditer(text):
        yield Link(Found.URL, "https://" + _trimmed(match[0]), written=False)
    if "@" in text:
        for address in _emails(text):
            yield Link(Found.EMAIL, address, written=False)
        for match in _MENTION.finditer(text):
            yield Link(Found.MENTION, "@" + (match[1] or match[2]), written=False)
    if "<" in text:
        yield from _in_angles(text)
    if "](" in text:
        for match in _INLINE.finditer(text):
            yield _leading(match[1] if match[1] is not None else match[2])
    if "]:" in text:
        for match in _DEFINED.finditer(text):
            yield _leading(match[1])
    if _TAG_STARTS.search(text) is not None:
        yield from _in_tags(text)


def _schemed(text: str, start: int, end: int) -> Iterator[Link]:
    """An address with a scheme, and any that stands in it."""
    whole = text[start:end]
    inside = [found.start() for found in _WITH_SLASHES.finditer(whole, 1)]
    parts = [whole[: inside[0]] if inside else whole, *(whole[at:] for at in inside)]
    yield from (_leading(_trimmed(part)) for part in parts)


def _hosts(text: str) -> Iterator[Link]:
    if "." not in text and "\u3002" not in text:
        return
    for pattern in (_HOST_IN_TEXT, _AFTER_COLON):
        for match in pattern.finditer(text):
            if match[2].casefold() in _top_level() and not text.startswith("@", match.end()):
                yield Link(Found.URL, f"https://{match[1]}{match[2]}{_trimmed(match[3])}", written=False)


def _in_angles(text: str) -> Iterator[Link]:
    for match in _ANGLE.finditer(text):
        yield _leading(match[1].partition("|")[0])
    for match in _BARRED.finditer(text):
        if match[1][0] not in "@#!":
            host = _HOST_IN_TEXT.fullmatch(match[1])
            yield _leading(match[1]) if host is None else Link(Found.URL, "https://" + match[1])
    for match in _SLACK_MENTION.finditer(text):
        if not match[1].startswith(("!--", "!DOCTYPE", "!doctype", "![CDATA")):
            yield Link(Found.MENTION, match[1])
    for match in _ANGLE_EMAIL.finditer(text):
        yield Link(Found.EMAIL, match[1], written=False)


def _in_tags(text: str) -> Iterator[Link]:
    for match in _ATTRIBUTE.finditer(text):
        value = next(part for part in match.groups()[1:] if part is not None)
        value = _SPACE_IN_LINK.sub("", value) if "set" not in match[1].casefold() else value
        parts = (
            [part.split()[0] for part in value.split(",") if part.strip()] if "set" in match[1].casefold() else [value]
        )
        for part in parts:
            yield _leading(part.strip())
    for match in _STYLE.finditer(text):
        yield _leading(match[1])


def _leading(target: str) -> Link:
    """Where a link leads that somebody wrote as one."""
    target = target.strip()
    if target.startswith(("//", "\\\\", "/\\", "\\/")):
        return Link(Found.URL, "https:" + target.replace("\\", "/"))
    scheme = _SCHEME.match(target)
    if scheme is not None and scheme[1].casefold() in _WEB:
        return Link(Found.URL, target)
    return Link(Found.OTHER, target)


def _emails(text: str) -> Iterator[str]:
    """Around each ``@``, within bounds: a pattern over all of it would take time in the square of a text."""
    at = text.find("@")
    while at >= 0:
        before = _LOCAL_BEFORE.search(text[max(0, at - _MAX_LOCAL) : at])
        after = _DOMAIN_AFTER.match(text, at + 1, at + 1 + _MAX_DOMAIN)
        local = "" if before is None else before[0].lstrip("/")
        if local and after is not None:
            yield f"{local}@{after[0]}"
        at = text.find("@", at + 1)


_IN_MAILTO = re.compile(r"[?&=,;\s]")
_LOCAL_BEFORE = re.compile(r"[\w.+~'&=#/%-]+$|\"[^\"\n]+\"$")
_DOMAIN_AFTER = re.compile(r"\[[0-9a-f.:]{2,60}\]|[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+", re.IGNORECASE)
_PERCENT = re.compile("(?:%[0-9a-fA-F]{2})+")


def _percent_read(text: str) -> str:
    return _PERCENT.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"), text)


def _trimmed(link: str) -> str:
    """Without what follows a link in a sentence. A bracket that was opened in it belongs to it."""
    link = link.partition("](")[0]
    while link and link[-1] in _TRAILING:
        if link[-1] == ")" and link.count("(") >= link.count(")"):
            break
        link = link[:-1]
    return link


@lru_cache(maxsize=1)
def _top_level() -> frozenset[str]:
    from agentguard.core.text.domains import TOP_LEVEL

    return frozenset(TOP_LEVEL.split())
