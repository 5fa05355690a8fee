"""Put a modelled state into a real database, and read a real database back as a modelled state.

Ghosts have no row, so they are not compared; everything else must come out as the model says.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from opsplatform.approvals import inbox
from opsplatform.approvals.models import Approval, InboxEvent
from opsplatform.catalog import service as catalog
from opsplatform.core.db import db, now, transaction
from opsplatform.core.leases import Lease, owner
from opsplatform.runs import files, service, tickets
from opsplatform.runs.digest import PlanInputs, digest_of, parts_of
from opsplatform.runs.models import Run
from opsplatform.runs.service import Applicant
from opsplatform.states import service as states
from opsplatform.states.models import Workspace
from tests.miniatures import FORM, TEMPLATE, Platform, an_event
from tests.model import world as w

FENCE = 10
DINGTALK_SHOWS_LATE = dt.timedelta(minutes=10)
UNBOUND = "PROC-OF-NOBODY"
BAD_FORM = (FORM[0], ("DDSelectField-size", "规格", "huge"))
PLAN, LOCK, OLD = b"the plan", b"the lock", "f" * 64
FAR, PAST = 4e9, 0.0


@dataclass
class Stage:
    """The real rows of one modelled state."""

    platform: Platform
    number: int
    rules: w.Rules
    approvals: list[int]
    events: dict[tuple[int, int], int]
    runs: dict[int, int]
    agreed_at: dt.datetime

    @property
    def workspace(self) -> str:
        """The one workspace of the state."""
        return f"w{self.number}"

    def instance(self, number: int) -> str:
        """How DingTalk calls an approval."""
        return f"PI-{self.number}-{number}"

    def lease(self, row: type[Any], row_id: int, *, lost: bool) -> Lease:
        """What a worker holds in its hand."""
        return Lease(row, row_id, FENCE - 1 if lost else FENCE)

    def ticket(self, run: int) -> str:
        """The ticket of a run."""
        return tickets.of_plan(self.runs[run], "of this test")

    def event(self, world: w.World, number: int, kind: int) -> Any:
        """An event as DingTalk pushes it."""
        code = TEMPLATE if world.approvals[number].bound else UNBOUND
        ended = {"finishTime": int(self.agreed_at.timestamp() * 1000)} if kind == w.END else {}
        return an_event(w.EVENT_NAMES[kind], self.instance(number), processCode=code, **ended)


def put(platform: Platform, number: int, world: w.World, rules: w.Rules) -> Stage:
    """Make the rows of a state."""
    moment = now().replace(second=0, microsecond=0) - dt.timedelta(hours=2)
    stage = Stage(platform, number, rules, [], {}, {}, moment)
    with transaction():
        states.open_workspace(stage.workspace, module="demo-server", environment="demo")
        for index, approval in enumerate(world.approvals):
            _put_approval(stage, world, index, approval)
        for index, run in enumerate(world.runs):
            if run.status:
                _put_run(stage, index, run)
        holder = stage.runs.get(world.space.holder)
        values = {"holder_run_id": holder, "holder_fence": FENCE - 1 if holder else None}
        aside = "somebody has to look" if world.space.aside else None
        change(Workspace, Workspace.name == stage.workspace, quarantined_reason=aside, **values)
    return stage


def show_in_dingtalk(stage: Stage, world: w.World, number: int, seen: str) -> None:
    """Let DingTalk show an approval as the worker sees it."""
    dingtalk, name = stage.platform.dingtalk, stage.instance(number)
    dingtalk.submit(name, form=FORM if world.approvals[number].fits else BAD_FORM)
    finished = stage.agreed_at.strftime("%Y-%m-%dT%H:%MZ")
    if seen in {"agreed", "refused"}:
        dingtalk.end(name, result=seen.removesuffix("ed").removesuffix("d") if seen == "agreed" else "refuse")
        dingtalk.approvals[name] |= {"result": "agree" if seen == "agreed" else "refuse", "finishTime": finished}
    elif seen == "terminated":
        dingtalk.end(name, status="TERMINATED")


def read(stage: Stage) -> tuple[Any, ...]:
    """The rows as the model would write them, without ghosts."""
    db.session.rollback()
    approvals = []
    for number in range(stage.rules.approvals):
        row = db.session.scalar(select(Approval).where(Approval.instance_id == stage.instance(number)))
        events = db.session.scalars(select(InboxEvent).where(InboxEvent.instance_id == stage.instance(number)))
        kinds = {w.EVENT_NAMES.index(event.data["type"]): event for event in events}
        approvals.append((row.status if row else "", tuple(_event(kinds.get(kind)) for kind in range(3))))
    found = _runs(stage)
    runs = tuple(_run(stage, found[number]) if number in found else () for number in range(_size(stage.rules)))
    space = states.get(stage.workspace)
    numbers = {run.id: number for number, run in found.items()}
    holder = numbers[space.holder_run_id] if space.holder_run_id else w.NOBODY
    return tuple(approvals), runs, (holder, space.quarantined_reason is not None)


def expected(world: w.World) -> tuple[Any, ...]:
    """What `read` must answer for this state."""
    approvals = tuple(
        (each.status, tuple(("", w.FREE) if e.status in {"", "sent"} else (e.status, e.lease) for e in each.events))
        for each in world.approvals
    )
    runs = tuple(
        (
            run.status, run.decision, run.plan, run.approved, run.plan != w.NO_PLAN and run.creates_only, run.auto,
            run.fresh, bool(run.cancel), run.attempts, run.lease,
        )
        if run.status
        else ()
        for run in world.runs
    )  # fmt: skip
    return approvals, runs, tuple(world.space)


def change(row: type[Any], *conditions: Any, **values: Any) -> None:
    """Set columns of a row behind everybody's back, inside the open transaction."""
    db.session.flush()
    db.session.execute(update(row).where(*conditions).values(**values).execution_options(synchronize_session=False))
    db.session.expire_all()


def _put_approval(stage: Stage, world: w.World, number: int, approval: w.Approval) -> None:
    row_id = -1
    if approval.status:
        row = Approval(
            instance_id=stage.instance(number),
            process_code=TEMPLATE if approval.bound else UNBOUND,
            status=approval.status,
            module="demo-server" if approval.bound else None,
            applicant_userid="zhangsan",
        )
        db.session.add(row)
        db.session.flush()
        row_id = row.id
    stage.approvals.append(row_id)
    for kind, event in enumerate(approval.events):
        if event.status in {"received", "done"}:
            inbox.receive(stage.event(world, number, kind))
            newest = select(InboxEvent.id).order_by(InboxEvent.id.desc()).limit(1)
            stage.events[number, kind] = event_id = db.session.scalars(newest).one()
            change(InboxEvent, InboxEvent.id == event_id, status=event.status, fence=FENCE, **_lease(event.lease))


def _put_run(stage: Stage, number: int, run: w.Run) -> None:
    approval, place = divmod(number, stage.rules.chain)
    origin = f"retry:{stage.runs[number - 1]}" if place else f"approval:{stage.approvals[approval]}"
    reference = {"id": stage.approvals[approval], "instance_id": stage.instance(approval)}
    order = catalog.order_for("demo-server", {"name": "web-01", "size": "small"})
    row = service.queue_run(order, Applicant("zhangsan", "张三", reference), origin=origin, workspace=stage.workspace)
    stage.runs[number] = row.id
    row.module_version = row.module_version if run.fresh else OLD
    row.status, row.decision = run.status, run.decision or None
    row.rules = {**row.rules, "apply_on_agree": run.auto}
    row.cancel_requested_by = "somebody" if run.cancel else None
    row.attempts, row.fence = run.attempts, FENCE
    row.planned_at = stage.agreed_at + (-DINGTALK_SHOWS_LATE if run.stood else DINGTALK_SHOWS_LATE)
    row.plan = {"creates_only": run.creates_only, "add": 1, "change": 0, "destroy": 0, "summary": ""}
    row.plan_digest = _digest(row, PLAN) if run.plan == w.GOOD else "of other things"
    row.approved_digest = row.plan_digest if run.approved else "of an older plan"
    if run.plan != w.NO_PLAN:
        files.keep(row.id, files.PLAN, PLAN)
        files.keep(row.id, files.LOCK, LOCK)
    change(Run, Run.id == row.id, **_lease(run.lease))
    if run.ticket:
        mine = tickets.SETTLED if run.ticket == "settle" else tickets.me()
        tickets.take(stage.platform.app.extensions["settings"].data_dir, stage.ticket(number), mine)


def _lease(lease: int) -> dict[str, Any]:
    if lease == w.FREE:
        return {"lease_owner": None, "lease_until": None, "wake_at": 0.0}
    return {"lease_owner": owner(), "lease_until": FAR if lease == w.LIVE else PAST, "wake_at": 0.0}


def _size(rules: w.Rules) -> int:
    return rules.approvals * rules.chain


def _runs(stage: Stage) -> dict[int, Run]:
    """All runs of the state; an approval that is handled now orders its own in a workspace of its own."""
    names = [stage.instance(number) for number in range(stage.rules.approvals)]
    ids = select(Approval.id).where(Approval.instance_id.in_(names))
    rows = db.session.scalars(select(Run).where((Run.workspace == stage.workspace) | Run.approval_id.in_(ids))).all()
    return {_place(stage, row, {each.id: each for each in rows}): row for row in rows}


def _place(stage: Stage, row: Run, rows: dict[int, Run]) -> int:
    """The number of a run in the model, by what called for it."""
    kind, _, what = row.origin.partition(":")
    if kind == "retry":
        return _place(stage, rows[int(what)], rows) + 1
    instance = db.session.get_one(Approval, int(what)).instance_id if int(what) > 0 else ""
    return int(instance.rpartition("-")[2]) * stage.rules.chain


def _event(row: InboxEvent | None) -> tuple[str, int]:
    if row is None:
        return "", w.FREE
    return ("done" if row.status == "ignored" else row.status), _lease_of(row)


def _lease_of(row: Any) -> int:
    if row.lease_owner is None:
        return w.FREE
    return w.LAPSED if row.lease_until < now().timestamp() else w.LIVE


def _run(stage: Stage, row: Run) -> tuple[Any, ...]:
    plan = files.fetch(row.id, files.PLAN)
    kept = w.NO_PLAN if plan is None else w.BAD
    if plan is not None and row.plan_digest == _digest(row, plan):
        kept = w.GOOD
    approved = plan is not None and row.approved_digest == row.plan_digest
    creates_only = plan is not None and bool((row.plan or {}).get("creates_only"))
    fresh = row.module_version == catalog.current_version(row.module)
    return (
        row.status, row.decision or "", kept, approved, creates_only, row.rules["apply_on_agree"], fresh,
        row.cancel_requested_by is not None, row.attempts, _lease_of(row),
    )  # fmt: skip


def _digest(row: Run, plan: bytes) -> str:
    stored = states.latest(row.workspace)
    kept = files.fetch_all(row.id)
    inputs = PlanInputs(
        plan=plan,
        plan_json=kept.get(files.PLAN_JSON, b""),
        module_version=row.module_version,
        variables=kept.get(files.VARIABLES, b""),
        lock=kept.get(files.LOCK, LOCK),
        imports=b"",
        lineage=stored.lineage if stored else "",
        serial=stored.serial if stored else 0,
        state=stored.content if stored else b"",
    )
    return digest_of(parts_of(inputs))
