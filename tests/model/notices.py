"""Notices: a row with a key is told once; where a worker dies between telling and writing it down, perhaps twice.

That one gap cannot be closed from our side, because DingTalk takes no key of ours with a comment. It drops a work
notification that repeats the text of an earlier one, so only a comment can be doubled.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checking import Explorer, Found, Model

FREE, LIVE, LAPSED = 0, 1, 2


class Sender(NamedTuple):
    """A worker that holds the notice, or none."""

    at: str = ""  # "", claimed, sent, refused, lost
    valid: bool = False


class Notice(NamedTuple):
    """The row, who works on it, and what happened to it."""

    status: str = ""
    lease: int = FREE
    comment: bool = True
    told: int = 0  # ghost
    interrupted: bool = False  # ghost: a worker died, or was slower than its lease
    senders: tuple[Sender, ...] = (Sender(), Sender())


Step = tuple[tuple[str, int], Notice, bool]


def steps(notice: Notice) -> Iterator[Step]:
    """Everything that can happen next."""
    if not notice.status:
        for comment in (True, False):
            yield ("queue", 0), notice._replace(status="waiting", comment=comment), True
        return
    if notice.lease == LIVE:
        yield ("lapse", 0), notice._replace(lease=LAPSED, interrupted=True), True
    for index, sender in enumerate(notice.senders):
        yield from _work(notice, index, sender)


def broken_in(notice: Notice) -> str | None:
    """What a notice promises."""
    if notice.told > 1 and not notice.interrupted:
        return "a notice is told twice only when a worker died or hung while it told it"
    if notice.told and not notice.status:
        return "every effect has its row first"
    return None


def explored() -> Iterator[tuple[str, Found]]:
    """All of it."""
    yield "notices", Explorer(model()).run()


def model() -> Model:
    """Ready to be explored."""
    return Model(Notice(), steps, broken_in=broken_in, at_rest=lambda n: n.status in {"sent", "unsure", "failed"})


def _work(notice: Notice, index: int, sender: Sender) -> Iterator[Step]:
    idle = _with(notice, index, Sender())
    if not sender.at:
        if notice.status == "waiting" and notice.lease != LIVE:
            others = tuple(each._replace(valid=False) for each in notice.senders)
            yield (
                ("claim", index),
                _with(notice._replace(lease=LIVE, senders=others), index, Sender("claimed", True)),
                True,
            )
        return
    yield ("crash", index), idle._replace(interrupted=True), False
    if sender.at == "claimed":
        told = notice._replace(told=min(notice.told + 1, 2))
        yield ("tell", index), _with(told, index, sender._replace(at="sent")), True
        yield ("refused", index), _with(notice, index, sender._replace(at="refused")), False
        yield ("answer_lost", index), _with(told, index, sender._replace(at="lost")), False
    elif not sender.valid:
        yield ("lease_lost", index), idle, True
    elif sender.at == "sent":
        yield ("record", index), idle._replace(status="sent", lease=FREE), True
    elif sender.at == "lost" and notice.comment:
        yield ("record_unsure", index), idle._replace(status="unsure", lease=FREE), True
    else:
        # DingTalk drops a work notification that repeats an earlier one: telling it again is telling it once.
        told = notice.told if notice.comment else 0
        yield ("record_failure", index), idle._replace(status="waiting", lease=FREE, told=told), True
        yield ("give_up", index), idle._replace(status="failed", lease=FREE), True


def _with(notice: Notice, index: int, sender: Sender) -> Notice:
    senders = list(notice.senders)
    senders[index] = sender
    return notice._replace(senders=tuple(sorted(senders)))
