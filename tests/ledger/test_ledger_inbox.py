"""The ledger's inbox: nothing is lost, nothing overtakes, and a sleeper is woken by whatever comes."""

from __future__ import annotations

import threading

from agentguard.ledger.inbox import Inbox

MANY = 5_000


def _take_all(inbox: Inbox[int], wanted: int, into: list[int]) -> threading.Thread:
    def take() -> None:
        while len(into) < wanted:
            into.extend(inbox.take(None, 7))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return thread


def test_a_sleeper_is_woken_by_what_is_put_quietly() -> None:
    """Else an outcome would wait for the next call, which may never come."""
    inbox: Inbox[int] = Inbox()
    taken: list[int] = []
    thread = _take_all(inbox, MANY, taken)
    for n in range(MANY):
        inbox.put_quietly(n)
    thread.join(20)

    assert taken == list(range(MANY))


def test_what_one_thread_puts_is_taken_in_its_order_however_it_was_put() -> None:
    """A call's outcome must not overtake its admission, nor the next call the outcome before it."""
    inbox: Inbox[int] = Inbox()
    taken: list[int] = []
    thread = _take_all(inbox, 4 * MANY, taken)

    def put(start: int) -> None:
        for n in range(start, start + MANY):
            (inbox.put if n % 3 else inbox.put_quietly)(n)

    putters = [threading.Thread(target=put, args=(k * MANY,)) for k in range(4)]
    for putter in putters:
        putter.start()
    thread.join(20)

    assert sorted(taken) == list(range(4 * MANY))
    for k in range(4):
        mine = [n for n in taken if n // MANY == k]
        assert mine == sorted(mine)


def test_no_more_is_taken_than_asked_for_and_the_rest_stays() -> None:
    """One transaction is bounded, and what is over waits for the next."""
    inbox: Inbox[int] = Inbox()
    for n in range(5):
        inbox.put_quietly(n)

    assert [inbox.take(None, 3), inbox.take(None, 3), inbox.take(0, 3)] == [[0, 1, 2], [3, 4], []]


def test_a_ring_that_is_left_over_does_not_end_a_wait() -> None:
    """An empty answer means that the time is up, and then the ledger commits."""
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    assert inbox.take(None, 1) == [1]
    threading.Timer(0.05, inbox.put, (2,)).start()

    assert inbox.take(20, 1) == [2]
