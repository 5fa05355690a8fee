"""What the worker does with events: look at the approval they speak of, and act on it."""

from contextlib import suppress

from sqlalchemy.exc import IntegrityError

from opsplatform.adapters.dingtalk import Instance
from opsplatform.adapters.registry import adapters
from opsplatform.approvals import inbox, service
from opsplatform.core.db import reading, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.leases import Lease, heart
from opsplatform.core.queue import enqueue
from opsplatform.core.settings import settings

GONE = "processInstanceNotExist"


def handle_event(event_id: int) -> None:
    """Fetch the approval an event is about and act on it; whoever comes second finds the event taken."""
    with transaction():
        taken = inbox.take(event_id)
        if taken is None:
            return
        event, lease = taken
        ignored = service.why_ignored(event, settings().dingtalk_corp_id)
        if ignored:
            inbox.stamp(lease, "ignored", ignored)
            return
        instance_id, kind = str(event.instance_id), str(event.data.get("type"))
    with heart().held(lease):
        if kind == "delete":
            _record_gone(lease)
        else:
            _look(lease, instance_id, kind)


def sweep() -> None:
    """Wake a worker for every event that waits."""
    with transaction():
        for event_id in inbox.due():
            enqueue("approvals.handle_event", event_id=event_id)


def _look(lease: Lease, instance_id: str, kind: str) -> None:
    try:
        instance = adapters().dingtalk.get_instance(instance_id)
    except UpstreamError as error:
        if error.upstream_code == GONE:
            _record_gone(lease)
        else:
            _postpone(lease, error.message)
        return
    if kind == "finish" and instance.status == "RUNNING":
        _postpone(lease, "the event says it has ended, DingTalk still shows it running")
        return
    names = _look_up_names(instance)
    try:
        _record(lease, instance, names)
    except IntegrityError:  # another event of the same approval was first; now its row is there
        _record(lease, instance, names)


def _look_up_names(instance: Instance) -> dict[str, str]:
    """Names of everybody involved; a name that cannot be had is no reason to wait."""
    people = service.people_of(instance)
    with reading():
        known = service.names_of(people)
    found: dict[str, str] = {}
    for userid in people - known.keys():
        try:
            found[userid] = adapters().dingtalk.get_user(userid).name or userid
        except UpstreamError:
            continue
    if found:
        with suppress(IntegrityError), transaction():  # another event of the same people was faster
            service.remember_names(found)
    return known | found


def _record(lease: Lease, instance: Instance, names: dict[str, str]) -> None:
    with transaction():
        service.record_instance(lease, instance, names)


def _record_gone(lease: Lease) -> None:
    with transaction():
        service.record_gone(lease)


def _postpone(lease: Lease, reason: str) -> None:
    with transaction():
        inbox.postpone(lease, reason)
