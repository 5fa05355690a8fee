"""States from which an exploration may begin, so that what comes late is reached soon."""

from opsplatform.approvals.models import ApprovalStatus as A
from opsplatform.runs.models import RunStatus as S
from tests.model.world import FREE, GOOD, Approval, Event, Rules, Run, Space, World, first

DONE = (Event("done", FREE), Event("done", FREE), Event())
AGREED = Approval(ding="agreed", status=A.AGREED.value, agreed=True, events=DONE)
RUNNING = Approval(ding="running", status=A.PENDING.value, events=(DONE[0], Event(), Event()))
QUEUED = Run(
    status=S.APPLY_QUEUED.value,
    decision="approved",
    plan=GOOD,
    approved=True,
    creates_only=True,
    attempts=1,
    begun=1,
    stood=True,
    reviewed=True,
)
PENDING = Run(status=S.PENDING.value, decision="approved")


def queued(rules: Rules) -> World:
    """Every approval was agreed to, every run waits to be applied, and the first one holds the workspace."""
    world = first(rules)
    runs = tuple(QUEUED if number % rules.chain == 0 else Run() for number in range(len(world.runs)))
    return world._replace(approvals=(AGREED,) * rules.approvals, runs=runs, space=Space(holder=0))


def waiting(rules: Rules) -> World:
    """The first run waits to be applied; the others wait for the workspace to plan."""
    world = queued(rules)
    return world._replace(
        runs=tuple(PENDING if run.status and number else run for number, run in enumerate(world.runs))
    )


def late(rules: Rules) -> World:
    """DingTalk's approvers agreed before there was a plan, and we hear of it when there is one."""
    world = first(rules)
    run = QUEUED._replace(
        status=S.PLANNED.value, decision="", approved=False, creates_only=False, stood=False, reviewed=False
    )
    agreed = Approval(ding="agreed", status=A.PENDING.value, agreed=True, events=(DONE[0], Event("received"), Event()))
    approvals = (agreed, *world.approvals[1:])
    return world._replace(approvals=approvals, runs=(run, *world.runs[1:]), space=Space(holder=0))


def nothing(rules: Rules) -> World:
    """The very beginning."""
    return first(rules)


def canceled(rules: Rules) -> World:
    """Somebody canceled the run before DingTalk's approvers decided."""
    world = first(rules)
    run = Run(status=S.CANCELED.value, attempts=1, begun=1)
    return world._replace(approvals=(RUNNING, *world.approvals[1:]), runs=(run, *world.runs[1:]))
