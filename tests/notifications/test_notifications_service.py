"""Telling people: once, again while that is safe, never twice."""

import datetime as dt

import pytest
from sqlalchemy import select, update

from opsplatform.core.db import db, epoch, now, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.leases import LeaseLost
from opsplatform.notifications import service
from opsplatform.notifications.models import Notice
from tests.miniatures import count, rows


@pytest.fixture
def tell(platform):
    """Have something told; answers the notice's id."""

    def queue(channel="work", key="run:1:applied"):
        with transaction():
            if channel == "work":
                service.tell(key, userid="zhangsan", title="标题", text="text")
            else:
                service.comment(key, instance_id="PI-1", userid="zhangsan", text="text")
        return rows(Notice)[-1].id

    return queue


def notice():
    (found,) = rows(Notice)
    return found


def claim(notice_id):
    with transaction():
        taken = service.claim(notice_id)
        return taken[1] if taken else None


def set_notice(**values):
    with transaction():
        db.session.execute(update(Notice).values(**values))


@pytest.mark.parametrize("channel", ["work", "comment"])
def test_what_is_to_be_told_is_told_once(platform, tell, channel):
    tell(channel)
    tell(channel)
    platform.work()

    assert (notice().status, notice().sent_at is not None) == ("sent", True)
    assert platform.dingtalk.notices == ([("zhangsan", "标题", "text")] if channel == "work" else [])
    assert platform.dingtalk.comments == ([("PI-1", "zhangsan", "text")] if channel == "comment" else [])


def test_a_notice_that_was_told_is_not_told_again_by_a_late_message(platform, tell):
    notice_id = tell()
    platform.work()

    platform.do("notifications.send", notice_id=notice_id)

    assert len(platform.dingtalk.notices) == 1


def test_two_senders_at_once_are_one(tell):
    notice_id = tell()

    assert claim(notice_id)
    assert claim(notice_id) is None


def test_a_long_title_is_cut_to_what_the_column_holds(platform):
    with transaction():
        service.tell("key", userid="zhangsan", title="长" * 300, text="x")

    assert len(notice().title) == 255


@pytest.mark.parametrize(
    ("channel", "certain", "status"),
    [("work", True, "waiting"), ("work", False, "waiting"), ("comment", True, "waiting"), ("comment", False, "unsure")],
)
def test_what_may_have_been_told_is_repeated_only_where_that_tells_nothing_twice(
    platform, tell, channel, certain, status
):
    platform.dingtalk.errors = dict.fromkeys(
        ["notify", "comment"], UpstreamError("dingtalk", "does not answer", certain=certain)
    )

    tell(channel)
    platform.work()

    assert (notice().status, notice().error) == (status, "does not answer")


def test_a_comment_on_an_approval_that_was_deleted_is_not_tried_again(platform, tell):
    gone = UpstreamError("dingtalk", "there is no such approval", upstream_code="aflowProcessInstNotExist")
    platform.dingtalk.errors["comment"] = gone

    tell("comment")
    platform.work()

    assert (notice().status, notice().error) == ("failed", "there is no such approval")


def test_a_notice_that_failed_waits_longer_each_time_and_is_told_when_dingtalk_is_back(platform, tell):
    platform.dingtalk.errors["notify"] = UpstreamError("dingtalk", "does not answer")
    notice_id = tell()
    platform.work()
    wait = notice().next_at - float(db.session.scalar(select(epoch())))
    too_early = claim(notice_id)
    platform.dingtalk.errors.clear()
    set_notice(next_at=0.0)

    platform.do("notifications.sweep")
    platform.work()

    assert 0 < wait <= 2
    assert too_early is None
    assert (notice().status, notice().error, notice().attempts) == ("sent", None, 2)


@pytest.mark.parametrize(("days", "status"), [(2.9, "waiting"), (3.1, "failed")])
def test_a_notice_outlives_a_weekend_without_dingtalk_and_is_given_up_later_saying_why(platform, tell, days, status):
    platform.dingtalk.errors["notify"] = UpstreamError("dingtalk", "does not answer")
    tell()
    set_notice(created_at=now() - dt.timedelta(days=days), attempts=200)

    platform.work()
    platform.do("notifications.sweep")

    assert (notice().status, notice().error) == (status, "does not answer")
    assert platform.waiting() == []


def test_no_wait_is_longer_than_half_an_hour(tell):
    lease = claim(tell())
    set_notice(attempts=2000)

    with transaction():
        service.record_failure(lease, "down", may_repeat=True)

    assert 1790 < notice().next_at - float(db.session.scalar(select(epoch()))) <= 1800


def test_the_sweeper_finds_what_nobody_picked_up_and_leaves_the_rest(platform, tell):
    lost = tell(key="lost")
    under_way = tell(key="under way")
    later = tell(key="later")
    platform.waiting()
    claim(under_way)
    with transaction():
        db.session.execute(update(Notice).where(Notice.id == later).values(next_at=epoch() + 60.0))
        db.session.execute(update(Notice).values(wake_at=0.0))

    platform.do("notifications.sweep")

    assert platform.waiting() == [("notifications.send", {"notice_id": lost})]


def test_a_sender_that_lost_its_claim_records_nothing(tell):
    notice_id = tell()
    lease = claim(notice_id)
    set_notice(lease_until=0.0)
    claim(notice_id)

    with pytest.raises(LeaseLost), transaction():
        service.record_sent(lease)

    assert (notice().status, count(Notice)) == ("waiting", 1)
