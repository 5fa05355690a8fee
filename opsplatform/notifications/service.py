"""Tell people, once: a notice is a row with a key; a worker sends it, and tries again while that is safe."""

import datetime as dt

from sqlalchemy import bindparam, func, insert, select

from opsplatform.core import leases
from opsplatform.core.db import db, epoch, now
from opsplatform.core.leases import Lease
from opsplatform.core.prebuilt import add, perform, table_of
from opsplatform.core.queue import enqueue, is_busy
from opsplatform.notifications.models import Notice

PATIENCE = dt.timedelta(days=3)  # DingTalk may be away for a weekend
LONGEST_WAIT = 1800.0
WAITING = (Notice.status == "waiting", Notice.next_at <= epoch())
NOTICES = table_of(Notice)
KNOWN = select(NOTICES.c.id).where(NOTICES.c.key == bindparam("known"))
ADD = insert(NOTICES)


def comment(key: str, *, instance_id: str, userid: str, text: str) -> None:
    """Have `text` written under a DingTalk approval, in the name of `userid`."""
    _queue(f"comment:{key}", channel="comment", instance_id=instance_id, userid=userid, title="", text=text)


def tell(key: str, *, userid: str, title: str, text: str) -> None:
    """Have a work notification sent to `userid`; `text` is DingTalk's markdown."""
    _queue(f"work:{key}", channel="work", userid=userid, title=title[:255], text=text)


def claim(notice_id: int) -> tuple[Notice, Lease] | None:
    """Take a waiting notice to send it."""
    lease = leases.claim(Notice, notice_id, *WAITING, counted=True)
    return (_notice(lease), lease) if lease else None


def record_sent(lease: Lease) -> None:
    """Remember that it was told."""
    leases.release(lease, status="sent", sent_at=now(), error=None)


def give_up(lease: Lease, error: str) -> None:
    """Remember why it can never be told."""
    leases.release(lease)
    notice = _notice(lease)
    notice.status, notice.error = "failed", error


def record_failure(lease: Lease, error: str, *, may_repeat: bool) -> None:
    """Remember why it was not told; try again later when that cannot tell it twice."""
    leases.release(lease)
    notice = _notice(lease)
    notice.error = error
    if not may_repeat:
        notice.status = "unsure"
    elif now() - notice.created_at > PATIENCE:
        notice.status = "failed"
    else:
        wait = min(2.0 ** min(notice.attempts, 16), LONGEST_WAIT)
        notice.next_at = _clock() + wait
        notice.wake_at = 0.0


def enqueue_waiting() -> None:
    """Wake a worker for every notice that is due."""
    leases.drop_dead_claims(Notice)
    if is_busy():
        return  # the queue is long; what was lost is found when it is shorter
    for notice_id in leases.due(Notice, *WAITING):
        enqueue("notifications.send", notice_id=notice_id)


def count_unsent() -> dict[str, int]:
    """How many notices were not sent, by status."""
    query = select(Notice.status, func.count()).where(Notice.status != "sent").group_by(Notice.status)
    return dict(db.session.execute(query).all())


def _queue(key: str, **values: str) -> None:
    if perform(KNOWN, {"known": key}).first() is None:
        enqueue("notifications.send", notice_id=add(ADD, {"key": key, **values}))


def _notice(lease: Lease) -> Notice:
    return db.session.get_one(Notice, lease.row_id)


def _clock() -> float:
    return float(db.session.scalar(select(epoch())) or 0.0)
