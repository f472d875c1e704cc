"""Links and addresses in a text: whatever some program makes clickable or loads is found, and nothing else."""

from __future__ import annotations

import itertools
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from agentguard.core.text.links import MAX_FOUND, Found, addresses_of, link_key, links_in
from agentguard.core.text.readings import MAX_TEXT

CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "vectors" / "links.yaml").read_text())


@pytest.mark.parametrize("case", CORPUS["links"], ids=lambda case: case["text"][:60])
def test_what_some_program_makes_a_link_is_found(case: dict[str, Any]) -> None:
    """GitHub's Markdown, HTML, Slack and mail clients; also where it is hidden from the eye."""
    links = links_in(case["text"])
    assert links
    assert {address for link in links for address in addresses_of(link)} >= set(case.get("writes", ()))
    if case.get("mentions"):
        assert any(link.found is Found.MENTION for link in links)


@pytest.mark.parametrize("text", CORPUS["plain"])
def test_ordinary_text_holds_no_link(text: str) -> None:
    """Abbreviations, numbers, paths, code and punctuation are no links."""
    assert links_in(text) == ()


class _Leads(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


WRAPPINGS = (
    "{}", "see {}.", "<{}>", "[t]({})", "![t]({})", "[t](<{}>)", "[t][r]\n\n[r]: {}", "> * [t]({} 'x')",
    '<a href="{}">t</a>', "<a href={}>t</a>", "<img src='{}'>", "**[t]({})**", "[a [b] c]({})", "| [t]({}) |",
    "```\n{}\n```", "\\[t]({})",
)  # fmt: skip
ADDRESSES = (
    "https://evil.example/x", "HTTPS://evil.example", "//evil.example/x", "/x", "x", "mailto:e@evil.example",
    "https&#58;//evil.example", "https:\\/\\/evil.example", "javascript:x", "ftp://evil.example", "?q=1",
    "&#x68;ttps://evil.example", "tel:+1", "evil.com",
)  # fmt: skip
HOSTILE = (
    "a.", "@", "[x](", "<", "a@", "http://", "[a]:", "\n[a", "href=", "<a href=", "://", "a-", "(", "é.", "&amp;", "\\",
    "<a ", "www.", "://a", "]\n(", "\u200b.", "1.", "ｗ",
)  # fmt: skip


@pytest.mark.parametrize(("wrapping", "address"), list(itertools.product(WRAPPINGS, ADDRESSES)))
def test_a_second_reader_of_markdown_finds_no_link_that_is_missed(wrapping: str, address: str) -> None:
    """An independent renderer is asked: where it makes something clickable, or loads something, there is a finding."""
    text = wrapping.format(address)
    page = _Leads()
    page.feed(MarkdownIt("commonmark", {"html": True}).render(text))
    if page.found:
        assert links_in(text), page.found


def test_a_text_that_is_too_long_or_holds_too_many_links_is_not_looked_at() -> None:
    """Then nobody knows, and whoever asks must refuse."""
    assert links_in("x" * MAX_TEXT) == ()
    assert links_in("x" * (MAX_TEXT + 1)) is None
    assert links_in(" ".join(f"https://h{n}.example/" for n in range(MAX_FOUND + 1))) is None
    assert links_in("@ " * 2001) is None


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_time_in_line_with_its_length(piece: str) -> None:
    """No pattern goes back and forth over a long text: 64 KiB take a fraction of a second of this processor."""
    text = (piece * MAX_TEXT)[:MAX_TEXT]
    started = time.process_time()
    links_in.__wrapped__(text)
    assert time.process_time() - started < 5


def test_an_address_has_one_key_whatever_its_scheme_and_spelling() -> None:
    """`http`, `https`, a default port, capitals and a last slash make no difference; a password makes it no address."""
    assert link_key("HTTP://Shop.example:80/") == link_key("https://shop.example") == "shop.example"
    assert link_key("https://shop.example/a?b#c") == "shop.example/a?b#c"
    assert link_key("https://xn--bcher-kva.example/") == link_key("https://Bücher.example") == "bücher.example"
    assert link_key("https://u:p@shop.example/") is None
    assert link_key("https://shop.example\\@evil.example/") is None
    assert link_key("javascript:alert(1)") is None
    assert link_key("https://" + "a" * 9000) is None
