"""Claims: one holder at a time, and who lost one writes nothing more."""

import os
import subprocess
import threading
import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from opsplatform.core import leases
from opsplatform.core.db import db, epoch, transaction
from opsplatform.core.leases import Lease, LeaseLost, heart
from opsplatform.notifications.models import Notice
from tests.miniatures import rows


@pytest.fixture
def row_id(platform):
    """A row that may be claimed."""
    return add("one")


def add(key, **more):
    with transaction():
        notice = Notice(key=key, channel="work", userid="", title="", text="", **{"wake_at": 0.0, **more})
        db.session.add(notice)
    return notice.id


def claim(row_id, *conditions, **values):
    with transaction():
        return leases.claim(Notice, row_id, *conditions, **values)


def lapse():
    with transaction():
        db.session.execute(update(Notice).values(lease_until=0.0))


def row():
    return rows(Notice)[0]


def due():
    with transaction():
        return leases.due(Notice)


def wait_for(holds, seconds=10.0):
    pause, until = threading.Event(), time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < until:
        pause.wait(0.01)
    return found


def test_a_claim_raises_the_fence_and_says_who_holds_the_row(row_id):
    lease = claim(row_id, counted=True)

    assert (row().fence, row().lease_owner, row().attempts) == (lease.fence, leases.owner(), 1)
    assert lease.fence == 1


def test_of_many_that_claim_at_once_one_gets_it(platform, row_id):
    meet = threading.Barrier(6)
    found = []

    def work():
        meet.wait()
        with platform.context():
            found.append(claim(row_id))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([lease for lease in found if lease]) == 1
    assert row().fence == 1


def test_a_row_whose_condition_does_not_hold_is_not_claimed(row_id):
    assert claim(row_id, Notice.status == "sent") is None
    assert (row().fence, claim(4711)) == (0, None)


def test_a_lapsed_lease_is_free_and_its_holder_is_refused_from_then_on(row_id):
    first = claim(row_id)
    lapse()

    second = claim(row_id)

    assert second.fence == first.fence + 1
    for write in (leases.check, leases.release):
        with pytest.raises(LeaseLost, match=f"Notice {row_id} was taken over"), transaction():
            write(first)
    assert first.lost.is_set()
    assert not second.lost.is_set()


def test_a_holder_whose_lease_lapsed_and_whom_nobody_followed_goes_on(row_id):
    lease = claim(row_id)
    lapse()

    with transaction():
        leases.check(lease)

    assert claim(row_id) is None


def test_a_released_row_may_be_claimed_by_the_next(row_id):
    lease = claim(row_id)

    with transaction():
        leases.release(lease)

    assert (row().lease_owner, row().lease_until) == (None, None)
    assert claim(row_id).fence == 2


def test_what_became_of_a_row_is_written_with_giving_it_back_and_seen_by_whoever_had_read_it(row_id):
    lease = claim(row_id)

    with transaction():
        read_before = db.session.get_one(Notice, row_id)
        leases.release(lease, status="sent", error="none")
        seen = read_before.status

    assert (seen, row().status, row().error, row().lease_owner) == ("sent", "sent", "none", None)


def test_who_lost_a_row_cannot_say_what_became_of_it(row_id):
    first = claim(row_id)
    lapse()
    claim(row_id)

    with pytest.raises(LeaseLost), transaction():
        leases.release(first, status="sent")

    assert row().status == "waiting"


def test_a_row_that_waits_is_named_once_in_a_while_and_not_at_every_sweep(row_id):
    other = add("two")

    assert due() == [row_id, other]
    assert due() == []
    with transaction():
        db.session.execute(update(Notice).values(wake_at=0.0))
    assert due() == [row_id, other]


def test_a_row_somebody_works_on_is_not_named_until_its_lease_lapses(row_id):
    claim(row_id)
    before = due()
    lapse()

    assert (before, due()) == ([], [row_id])


def test_only_so_many_rows_are_named_at_once(platform):
    ids = [add(str(n)) for n in range(5)]

    with transaction():
        first = leases.due(Notice, limit=3)

    assert (first, due()) == (ids[:3], ids[3:])


def test_what_dead_processes_of_this_host_held_is_free_and_nothing_else(platform):
    child = subprocess.Popen(["true"])
    child.wait()
    host = leases.owner().rpartition(":")[0]
    held = {"lease_until": time.time() + 600, "fence": 1}
    dead = add("dead", lease_owner=f"{host}:{child.pid}", **held)
    add("alive", lease_owner=f"{host}:{os.getpid()}", **held)
    add("elsewhere", lease_owner=f"{host}2:{child.pid}", **held)

    with transaction():
        leases.drop_dead_claims(Notice)

    assert due() == [dead]


def test_a_process_of_somebody_else_is_alive(platform, monkeypatch):
    def refuse(_pid, _signal):
        raise PermissionError

    monkeypatch.setattr(leases.os, "kill", refuse)
    add("other", lease_owner=leases.owner(), lease_until=time.time() + 600)

    with transaction():
        leases.drop_dead_claims(Notice)

    assert due() == []


class TestTheHeart:
    """Keeps what this process holds."""

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)

    def until(self):
        db.session.rollback()
        return float(db.session.scalar(select(Notice.lease_until - epoch())))

    def test_it_keeps_a_lease_for_as_long_as_the_work_takes(self, row_id):
        lease = claim(row_id)
        with heart().held(lease) as held:
            lapse()

            assert held is lease
            assert wait_for(lambda: self.until() > 0)
            assert claim(row_id) is None

    def test_it_lets_go_afterwards(self, row_id):
        with heart().held(claim(row_id)):
            pass

        assert heart()._by_id == {}

    def test_it_keeps_several_leases_from_one_thread(self, row_id):
        other = add("two")
        with heart().held(claim(row_id)), heart().held(claim(other)):
            lapse()

            assert wait_for(lambda: claim(row_id) is None and claim(other) is None)
            assert [thread.name for thread in threading.enumerate()].count("heart") >= 1
            assert len(heart()._by_id) == 2

    def test_it_tells_the_worker_that_its_lease_was_lost(self, row_id, caplog):
        caplog.set_level("INFO")
        lease = claim(row_id)
        with heart().held(lease):
            with transaction():
                db.session.execute(update(Notice).values(fence=Notice.fence + 1))

            assert lease.lost.wait(10)
            assert wait_for(lambda: "taken over" in caplog.text)

    def test_a_beat_that_fails_is_logged_and_the_next_one_comes(self, row_id, monkeypatch, caplog):
        calls = []
        check = leases.check

        def fail_once(lease: Lease):
            calls.append(lease)
            if len(calls) == 1:
                raise OperationalError("UPDATE", {}, Exception("gone"))
            check(lease)

        monkeypatch.setattr(leases, "check", fail_once)
        with heart().held(claim(row_id)):
            lapse()

            assert wait_for(lambda: self.until() > 0)
            assert "a heartbeat failed" in caplog.text


def test_a_late_heartbeat_does_not_take_a_row_again_that_was_given_back(row_id):
    lease = claim(row_id)
    with transaction():
        leases.release(lease)

    with pytest.raises(leases.LeaseLost), transaction():
        leases.check(lease)

    assert (row().lease_owner, row().lease_until) == (None, None)
