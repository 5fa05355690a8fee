"""Send what waits."""

from functools import partial

from opsplatform.adapters.registry import adapters
from opsplatform.core.db import in_transaction, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.leases import Lease, heart
from opsplatform.core.settings import settings
from opsplatform.notifications import service

GONE = "aflowProcessInstNotExist"  # the approval to comment on was deleted


def send(notice_id: int) -> None:
    """Send one notice; whoever comes second finds it taken."""
    with transaction():
        taken = service.claim(notice_id)
        if taken is None:
            return
        notice, lease = taken
        channel, userid, title, text = notice.channel, notice.userid, notice.title, notice.text
        instance_id = notice.instance_id or ""
    with heart().held(lease):
        try:
            if channel == "comment":
                adapters().dingtalk.comment(instance_id, text, settings().dingtalk_comment_user_id or userid)
            else:
                adapters().dingtalk.notify(userid, title, text)
        except UpstreamError as error:
            with transaction():
                _record_failure(lease, error, channel)
            return
        in_transaction(partial(service.record_sent, lease))  # what was not noted would be told again


def sweep() -> None:
    """Come back to what nobody picked up or what failed for now."""
    with transaction():
        service.enqueue_waiting()


def _record_failure(lease: Lease, error: UpstreamError, channel: str) -> None:
    if error.upstream_code == GONE:
        service.give_up(lease, error.message)
    else:
        # DingTalk drops a work notification with the same text to the same person, so that one may be repeated.
        service.record_failure(lease, error.message, may_repeat=error.certain or channel == "work")
