"""What must hold in every state, at every step, and what must stay possible; each with the sentence it stands for."""

from collections.abc import Iterator

from opsplatform.approvals.models import ApprovalStatus as A
from opsplatform.runs.models import RunStatus as S
from tests.model.world import APPROVAL_ENDS, GOOD, NOBODY, RUN_ENDS, RUNNING, Approval, Rules, Run, World

PROMISES = {
    "live": "no apply without an approval that was agreed, and a plan that was looked at or may pass without",
    "once": "a run's plan is applied at most once",
    "end": "a status that ends a life never changes",
    "row": "every effect has its row first: the run is applying before Terraform starts",
    "alone": "no two Terraforms work in one workspace, and none is planned for while one still works there",
    "digest": "what differs from what was approved never starts an apply",
    "lock": "a run that has ended holds no workspace, and no Terraform of it works on in one that is free",
    "stop": "no apply starts after a cancel was accepted",
    "patience": "a run is given up only when its planning was really interrupted that often",
    "table": "nothing tries a move that its table does not name",
    "way out": "every run can reach its end, or waits for a person or for DingTalk",
}


def broken_in(world: World) -> str | None:
    """The promise that this state breaks."""
    for number, run in enumerate(world.runs):
        if run.status in RUN_ENDS:
            if world.space.holder == number or (run.process == RUNNING and not world.space.aside):
                return "lock"
        elif run.status == S.APPLYING and world.space.holder != number:
            return "lock"
    if len(world.runs) > 1 and sum(run.process == RUNNING for run in world.runs) > 1:
        return "alone"
    return None


def broken_by(before: World, after: World, rules: Rules) -> str | None:
    """The promise that this step breaks."""
    if before.runs is not after.runs:
        for number, (old, new) in enumerate(zip(before.runs, after.runs, strict=True)):
            broken = None if old is new else _broken_for(before, number, old, new, rules)
            if broken:
                return broken
    if before.approvals is not after.approvals:
        for old_approval, new_approval in zip(before.approvals, after.approvals, strict=True):
            if old_approval.status in APPROVAL_ENDS and new_approval.status != old_approval.status:
                return "end"
    return None


def has_come_to_rest(world: World, rules: Rules) -> bool:
    """Whether nothing is left to do, or only a person or DingTalk can go on."""
    for number, approval in enumerate(world.approvals):
        if not _is_heard(approval):
            return False
        runs = world.runs[number * rules.chain : (number + 1) * rules.chain]
        if not all(_rests(world, approval, run) for run in runs):
            return False
    return True


def _broken_for(before: World, number: int, old: Run, new: Run, rules: Rules) -> str | None:
    if old.status in RUN_ENDS and new.status != old.status:
        return "end"
    if old.status == S.PENDING and new.status == S.ERRORED and old.begun < rules.most_attempts:
        return "patience"
    if new.status == S.PLANNED != old.status and _works_elsewhere(before, number):
        return "alone"
    if new.status == S.APPLYING != old.status and not (old.plan == GOOD and old.approved and old.fresh):
        return "digest"
    return next(_broken_by_start(before, number, old, rules), None) if new.starts > old.starts else None


def _broken_by_start(before: World, number: int, run: Run, rules: Rules) -> Iterator[str]:
    """A Terraform starts to apply this run."""
    approval = before.approvals[number // rules.chain]
    may_pass = run.creates_only and run.auto and run.ordered
    if run.starts:
        yield "once"
    if run.status != S.APPLYING:
        yield "row"
    if run.decision != "approved" or approval.status != A.AGREED or not approval.agreed:
        yield "live"
    if not (run.reviewed or may_pass):
        yield "live"
    if run.cancel == S.PLANNING:  # one that comes when the clock runs already is answered by stopping Terraform
        yield "stop"
    if _works_elsewhere(before, number):
        yield "alone"


def _works_elsewhere(world: World, number: int) -> bool:
    return any(run.process == RUNNING for other, run in enumerate(world.runs) if other != number)


def _is_heard(approval: Approval) -> bool:
    if approval.ding in {"", "running"} or approval.status == A.IGNORED:
        return True
    return approval.status in APPROVAL_ENDS


def _rests(world: World, approval: Approval, run: Run) -> bool:
    if not run.status or run.status in RUN_ENDS:
        return True
    if run.status == S.PLANNED:
        return run.decision == "approved" or approval.ding == "running"
    holder = world.space.holder
    if run.status in {S.PENDING, S.APPLY_QUEUED} and (holder == NOBODY or world.runs[holder] is not run):
        return world.space.aside or (holder != NOBODY and world.runs[holder].status == S.PLANNED)
    return False
