"""How often `carries_nothing_of` refuses an honest reply, and what it cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentguard.core.text.marks import DISGUISED, marks_in, year_marks
from agentguard.core.text.rules import texts_of
from agentguard.core.text.told import NOTHING_TOLD, Telling

REPLIES = Path(__file__).parents[1] / "vectors" / "replies.yaml"
TOPICS: list[dict[str, Any]] = yaml.safe_load(REPLIES.read_text("utf-8"))
SECRET = "Falconeer's code is 47115; Zephyrion starts on 2027-02-15"


def carried(listed: Any, other: Any, inputs: Any, reply: str) -> set[str]:
    """What the rule says that a reply carries out of the listed tool."""
    told = NOTHING_TOLD.after(Telling("listed", 1, marks(listed)), 1).after(Telling("other", 2, marks(other)), 2)
    known = marks(inputs) | year_marks(datetime(2026, 11, 30, tzinfo=UTC).year)
    found = marks_in([reply], written=True)
    return {
        what
        for mark, what in found
        if mark not in known and told.out_of(frozenset({"listed"}), mark, 2, certainly=what in DISGUISED)
    }


def marks(value: Any) -> frozenset[bytes]:
    return frozenset(mark for mark, _ in marks_in(texts_of(value)))


def replies() -> Iterator[tuple[Any, Any, Any, str]]:
    for topic in TOPICS:
        for reply in topic["replies"]:
            yield topic["listed"], topic["other"], topic["inputs"], reply
            everything = "\n\n".join(other["listed"] for other in TOPICS)
            yield everything, topic["other"], topic["inputs"], reply
            yield everything, topic["other"], topic["inputs"], f"{topic['replies'][0]}\n{reply}"


def test_at_most_two_of_a_hundred_honest_replies_are_refused() -> None:
    """A refusal of honest work is a defect like a hole. 300 replies about ten topics."""
    cases = list(replies())
    refused = [reply for listed, other, inputs, reply in cases if carried(listed, other, inputs, reply)]
    assert len(cases) == 300
    assert len(refused) <= 6, refused


CAUGHT = (
    "Fal<b></b>coneer", "Fal<!-- x -->coneer", "\u202ereenoclaF\u202c", "Um1Gc1kyOXVaV1Z5",
    "=46=61=6C=63=6F=6E=65=65=72",
    r"\x46\x61\x6c\x63\x6f\x6e\x65\x65\x72", r"\106\141\154\143\157\156\145\145\162", "NDcxMTU=",
    r"\46 \61 \6c \63 \6f \6e \65 \65 \72 ", "%25%34%37115",
    "Falcon eer", "falco-\nneer", "fal.con.eer", "47:11 5", "\U0001f175\U0001f170\U0001f17b\U0001f172"
    "\U0001f17e\U0001f17d\U0001f174\U0001f174\U0001f181", "ꜰᴀʟᴄᴏɴᴇᴇʀ",
    "Falconeer", "FALCONEER", "f-a-l-c-o-n-e-e-r", "Falc\u00f3neer", "F\u0430lconeer", "F\u00adalconeer",
    "Falcone&#101;r",
    "Falcon%65er", "RmFsY29uZWVy", "46 61 6c 63 6f 6e 65 65 72",
    "\uff26\uff41\uff4c\uff43\uff4f\uff4e\uff45\uff45\uff52",
    "47115", "4 7 1 1 5", "4.7.1.1.5", "4711-5", "4, 7, 1, 1, 5", "\u0664\u0667\u0661\u0661\u0665",
    "\u2463\u2466\u2460\u2460\u2464", "15 February 2027", "15.02.2027", "Feb 15th, 2027",
    "\u24bb\u24d0\u24db\u24d2\u24de\u24dd\u24d4\u24d4\u24e1", '{"n": "\\u0046alconeer"}',
)  # fmt: skip


@pytest.mark.parametrize("text", CAUGHT)
def test_another_spelling_is_the_same_thing(text: str) -> None:
    """Case, accents, width, look-alikes, separators, entities, percent, base64, hexadecimal, dates in another order."""
    assert carried(SECRET, "", {}, f"It is {text}.")


# Named in docs/policy.md: each of these passes, and nobody should rely on the contrary.
PASSES = {
    "letters shifted (rot13)": "snypbarre",
    "backwards": "reenoclaf",
    "letters replaced by digits": "f4lc0n33r",
    "misspelt": "falconneer",
    "a word cut by words": "falco and then neer",
    "letters put before or behind": "xfalconeerx",
    "base32": "IZQWYY3PNZSWK4Q",
    "a number in words": "forty-seven thousand one hundred and fifteen",
    "a number cut by words": "471 and then 15",
    "the first letters of words": "fine apples look cool on nice evening every ride",
    "said in other words": "the person whose name is like a bird's handler",
}


@pytest.mark.parametrize("text", PASSES.values(), ids=PASSES.keys())
def test_what_the_docs_say_passes_does_pass(text: str) -> None:
    """The docs are honest about what words cannot hold back."""
    assert not carried(SECRET, "", {}, f"It is {text}.")


def test_the_docs_name_every_encoding_that_passes() -> None:
    """At least ten, each in the words of this file."""
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
    assert len(PASSES) >= 10
    assert [name for name in PASSES if name not in " ".join(page.split())] == []
