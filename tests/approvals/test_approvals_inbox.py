"""The inbox: stored once, handled once, never given up."""

import threading

import pytest
from sqlalchemy import false, select, update
from sqlalchemy.exc import IntegrityError

from opsplatform.approvals import inbox
from opsplatform.approvals.models import Approval, InboxEvent
from opsplatform.core.db import db, epoch, transaction
from opsplatform.core.errors import NotFound
from opsplatform.core.leases import LeaseLost
from tests.miniatures import an_event, count, rows


def receive(event):
    with transaction():
        inbox.receive(event)


def take(event_id):
    with transaction():
        taken = inbox.take(event_id)
        return taken[1] if taken else None


@pytest.fixture
def stored(platform):
    """The id of an event that waits."""
    receive(an_event("start"))
    platform.waiting()
    return rows(InboxEvent)[0].id


def test_the_same_event_is_stored_and_announced_once(platform):
    receive(an_event("start"))
    receive(an_event("start"))

    (event,) = rows(InboxEvent)
    assert platform.waiting() == [("approvals.handle_event", {"event_id": event.id})]


@pytest.mark.parametrize("other", [an_event("finish"), an_event("start", "PI-2"), an_event("start", createTime=1)])
def test_another_event_is_another_row(stored, other):
    receive(other)

    assert count(InboxEvent) == 2


def test_an_event_stored_by_somebody_else_in_the_same_moment_is_no_error(platform, monkeypatch):
    event = an_event("start")
    receive(event)
    platform.waiting()
    monkeypatch.setattr(inbox, "KNOWN", inbox.KNOWN.where(false()))  # it was not there when we looked

    with pytest.raises(IntegrityError):  # the view takes it as the duplicate it is
        receive(event)

    monkeypatch.undo()
    assert (count(InboxEvent), platform.waiting()) == (1, [])


@pytest.mark.parametrize("instance_id", [None, 7, ["PI-1"]])
def test_an_event_that_names_no_approval_is_stored_all_the_same(platform, instance_id):
    receive(an_event("start", instance_id))

    assert [event.instance_id for event in rows(InboxEvent)] == [None]


def test_a_long_id_is_cut_to_what_the_column_holds(platform):
    receive(an_event("start", "x" * 500))

    assert len(rows(InboxEvent)[0].instance_id) == 128


def test_an_event_is_taken_by_one_of_two_workers_at_once(platform, stored):
    meet = threading.Barrier(2)
    leases = []

    def work():
        meet.wait()
        with platform.context():
            leases.append(take(stored))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [lease is None for lease in leases].count(False) == 1
    assert rows(InboxEvent)[0].attempts == 1


def test_a_handled_event_is_stamped_and_not_taken_again(stored):
    lease = take(stored)

    with transaction():
        inbox.stamp(lease, "done", "all well")

    (event,) = rows(InboxEvent)
    assert (event.status, event.note, event.lease_owner) == ("done", "all well", None)
    assert event.handled_at is not None
    assert take(stored) is None


def test_a_worker_that_lost_the_event_stamps_nothing(stored):
    lease = take(stored)
    with transaction():
        db.session.execute(update(InboxEvent).values(lease_until=0.0))
    take(stored)

    with pytest.raises(LeaseLost), transaction():
        inbox.stamp(lease, "done")

    assert rows(InboxEvent)[0].status == "received"


@pytest.mark.parametrize(("attempts", "wait"), [(1, 2), (5, 32), (9, 512), (10, 600), (5000, 600)])
def test_an_event_that_cannot_be_handled_yet_is_tried_again_after_a_longer_while(stored, attempts, wait):
    lease = take(stored)
    with transaction():
        db.session.execute(update(InboxEvent).values(attempts=attempts))

    with transaction():
        inbox.postpone(lease, "DingTalk is down")

    (event,) = rows(InboxEvent)
    clock = float(db.session.scalar(select(epoch())))
    assert (event.status, event.note, event.lease_owner) == ("received", "DingTalk is down", None)
    assert wait - 3 < event.next_at - clock <= wait
    assert take(stored) is None


def test_the_sweeper_finds_what_waits_and_not_what_is_postponed_or_done(platform, stored):
    receive(an_event("finish"))
    receive(an_event("start", "PI-2"))
    platform.waiting()
    late, done = rows(InboxEvent)[1:]
    with transaction():
        db.session.execute(update(InboxEvent).where(InboxEvent.id == late.id).values(next_at=epoch() + 60.0))
        db.session.execute(update(InboxEvent).where(InboxEvent.id == done.id).values(status="done"))
        db.session.execute(update(InboxEvent).values(wake_at=0.0))

    platform.do("approvals.sweep")

    assert platform.waiting() == [("approvals.handle_event", {"event_id": stored})]


def test_replay_brings_back_the_newest_event_of_an_approval(platform, stored):
    receive(an_event("finish"))
    receive(an_event("start", "PI-2"))
    receive(an_event("comment", EventType="bpms_task_change"))
    platform.waiting()
    with transaction():
        db.session.execute(update(InboxEvent).values(status="done", next_at=epoch() + 60.0))

    with transaction():
        inbox.replay("PI-1")

    (event,) = rows(InboxEvent, InboxEvent.status == "received")
    assert (event.data["type"], event.next_at) == ("finish", 0.0)
    assert platform.waiting() == [("approvals.handle_event", {"event_id": event.id})]


def test_an_approval_without_a_stored_event_cannot_be_replayed(platform):
    with pytest.raises(NotFound, match="No event"), transaction():
        inbox.replay("PI-9")

    assert count(Approval) == 0
