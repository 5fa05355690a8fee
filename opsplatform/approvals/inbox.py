"""The inbox: every event DingTalk pushes is stored once, handled, and stamped."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select

from opsplatform.adapters.dingtalk_crypto import Event
from opsplatform.approvals.models import InboxEvent
from opsplatform.core import leases
from opsplatform.core.db import db, epoch, now
from opsplatform.core.errors import NotFound
from opsplatform.core.leases import Lease
from opsplatform.core.prebuilt import add, perform, table_of
from opsplatform.core.queue import enqueue, is_busy

INSTANCE_EVENT = "bpms_instance_change"
LONGEST_WAIT = 600.0
LONGEST_ID = 128
NOT_OURS = "not an event that starts or ends an approval"
WAITING = (InboxEvent.status == "received", InboxEvent.next_at <= epoch())
RESTORED = "restored"  # marks the data of an event that waited in a backup
EVENTS = table_of(InboxEvent)
KNOWN = select(EVENTS.c.id).where(EVENTS.c.dedupe_key == bindparam("known"))
ADD = insert(EVENTS)


def receive(event: Event) -> None:
    """Store a pushed event, unless it is there already, and hand it to a worker.

    IntegrityError when the same event is stored at the same moment: then the other one has done it.
    """
    if perform(KNOWN, {"known": event.dedupe_key}).first() is not None:
        return
    instance_id = event.data.get("processInstanceId")
    ours = event.event_type == INSTANCE_EVENT
    row = {
        "dedupe_key": event.dedupe_key,
        "event_type": event.event_type,
        "event_id": event.event_id and event.event_id[:LONGEST_ID],
        "corp_id": event.corp_id and event.corp_id[:LONGEST_ID],
        "instance_id": instance_id[:LONGEST_ID] if isinstance(instance_id, str) else None,
        "data": event.data,
        **({} if ours else {"status": "ignored", "note": NOT_OURS, "handled_at": now()}),
    }
    event_id = add(ADD, row)
    if ours:
        enqueue("approvals.handle_event", event_id=event_id)


def take(event_id: int) -> tuple[InboxEvent, Lease] | None:
    """Take an event that waits to be handled."""
    lease = leases.claim(InboxEvent, event_id, *WAITING, counted=True)
    return (_event(lease), lease) if lease else None


def stamp(lease: Lease, status: str, note: str | None = None) -> InboxEvent:
    """Say what became of an event."""
    leases.release(lease, status=status, note=note, handled_at=now())
    return _event(lease)


def postpone(lease: Lease, reason: str) -> None:
    """Come back to an event later, each time after a longer while; it is never given up."""
    leases.release(lease)
    event = _event(lease)
    event.note = reason
    wait = min(2.0 ** min(event.attempts, 16), LONGEST_WAIT)
    event.next_at = float(db.session.scalar(select(epoch())) or 0.0) + wait
    event.wake_at = 0.0


def replay(instance_id: str) -> None:
    """Handle the newest stored event of an approval again; what was done once is not done twice."""
    newest = (
        select(InboxEvent)
        .where(InboxEvent.instance_id == instance_id, InboxEvent.event_type == INSTANCE_EVENT)
        .order_by(InboxEvent.id.desc())
        .limit(1)
    )
    event = db.session.scalar(newest)
    if event is None:
        raise NotFound("No event of this approval is stored.")
    event.status, event.next_at = "received", 0.0
    enqueue("approvals.handle_event", event_id=event.id)


def due() -> Sequence[int]:
    """Ids of events that wait and that nobody works on."""
    leases.drop_dead_claims(InboxEvent)
    if is_busy():
        return []  # the queue is long; what was lost is found when it is shorter
    return leases.due(InboxEvent, *WAITING)


def count_waiting() -> dict[str, int]:
    """How many events wait to be handled."""
    number = db.session.scalar(select(func.count()).select_from(InboxEvent).where(InboxEvent.status == "received"))
    return {"received": number or 0}


def distrust_events() -> None:
    """Mark what waited in a backup: what such an event leads to may have been done since the backup was made."""
    for event in db.session.scalars(select(InboxEvent).where(InboxEvent.status == "received")):
        event.data = {**event.data, RESTORED: True}


def _event(lease: Lease) -> InboxEvent:
    return db.session.get_one(InboxEvent, lease.row_id)
