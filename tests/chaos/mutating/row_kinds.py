"""Ways to change what the rows say about an approved run: which plan was approved, when it was made, who agreed."""

import datetime as dt

from opsplatform.core.db import now
from opsplatform.core.settings import settings
from opsplatform.runs import service
from tests.chaos.mutating.target import Kind, Target


def _digest_edited(target: Target) -> bool:
    digest = target.run.approved_digest or ""
    place = target.rng.randrange(len(digest))
    other = target.rng.choice([digit for digit in "0123456789abcdef" if digit != digest[place]])
    target.run.approved_digest = digest[:place] + other + digest[place + 1 :]
    return True


def _digest_gone(target: Target) -> bool:
    target.run.approved_digest = None
    return True


def _digest_of_another(target: Target) -> bool:
    target.run.approved_digest = service.get(target.another()).approved_digest
    return True


def _expired(target: Target) -> bool:
    """The plan has waited too long, to the minute or for years."""
    life = dt.timedelta(days=settings().ops_plan_expiry_days)
    target.run.planned_at = now() - life - dt.timedelta(minutes=target.rng.choice([1, 60, 10**6]))
    return True


def _withdrawn(target: Target) -> bool:
    target.run.decision = None
    return True


def _refused(target: Target) -> bool:
    target.run.decision = "refused"
    return True


KINDS: dict[str, Kind] = {
    "approval: another digest": _digest_edited,
    "approval: no digest": _digest_gone,
    "approval: the digest of another run": _digest_of_another,
    "approval: the plan expired": _expired,
    "approval: the decision withdrawn": _withdrawn,
    "approval: the decision turned into a refusal": _refused,
}
