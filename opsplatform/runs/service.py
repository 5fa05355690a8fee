"""Runs: order one, decide on it, and what a person may do with it."""

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from opsplatform.catalog.service import Order
from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.prebuilt import perform, table_of
from opsplatform.core.queue import enqueue
from opsplatform.notifications import service as notifications
from opsplatform.notifications import texts
from opsplatform.runs import files, queries, restored
from opsplatform.runs.digest import short
from opsplatform.runs.models import Run, RunProgress, RunStatus, RunStep
from opsplatform.states import service as states

MASK = "***"
PROGRESS = table_of(RunProgress)
ADD_STEP = insert(table_of(RunStep))
TOUCH = update(PROGRESS).where(PROGRESS.c.run_id == bindparam("run")).values(version=PROGRESS.c.version + 1)

Runs = queries.Runs
distrust = restored.distrust
approved_plans = queries.approved_plans
ids_by_approval = queries.ids_by_approval
runs_of_approval = queries.runs_of_approval


@dataclass(frozen=True)
class Applicant:
    """Who asked for it, and through which approval; plain values that outlive their source."""

    userid: str
    name: str
    approval: dict[str, Any] | None = None  # id, instance_id, business_id, title, url


def queue_run(order: Order, applicant: Applicant, *, origin: str, workspace: str, kind: str = "create") -> Run:
    """Record a run and hand it to a worker. `origin` names what called for it, and does so once."""
    run = Run(
        origin=origin,
        kind=kind,
        status=RunStatus.PENDING,
        workspace=workspace,
        module=order.module,
        module_version=order.version,
        environment=order.environment,
        applicant_userid=applicant.userid,
        applicant_name=applicant.name,
        approval_id=(applicant.approval or {}).get("id"),
        approval=applicant.approval,
        variables={name: MASK if name in order.sensitive else value for name, value in order.variables.items()},
        rules={
            "apply_on_agree": order.apply_on_agree,
            "sensitive": list(order.sensitive),
            "ephemeral": list(order.ephemeral),
            "limits": asdict(order.limits),
        },
    )
    db.session.add(run)
    db.session.flush()  # the job needs the run's id
    # Terraform reads the variables from one JSON file; a string in it is only ever a string.
    variables = json.dumps(order.variables, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    files.keep(run.id, files.VARIABLES, variables.encode())
    db.session.add(RunProgress(run_id=run.id))
    states.open_workspace(workspace, module=order.module, environment=order.environment)
    note(run)
    enqueue("runs.work")
    return run


def decide(run: Run, *, approved: bool, approvers: list[dict[str, Any]], at: dt.datetime | None = None) -> None:
    """Take the approval's outcome, given `at`. Agreement applies the plan that stood then; refusal ends the run.

    A plan that was made after the agreement goes on by the rule of `go_on`. What was decided once stays decided. A run
    that has ended remembers the outcome for its retry, for nobody will decide again.
    """
    db.session.refresh(run, with_for_update=True)
    if run.decision is not None or (not approved and run.status == RunStatus.APPLYING):
        return
    run.decision = "approved" if approved else "refused"
    run.decided_at = now()
    run.approvers = approvers
    if run.ended:
        for retried in db.session.scalars(select(Run).where(Run.origin == f"retry:{run.id}")):
            decide(retried, approved=approved, approvers=approvers, at=at)
    elif not approved:
        end(run, RunStatus.DISCARDED, note_text="the approval was refused or withdrawn")
    elif run.status == RunStatus.PLANNED:
        if at and run.planned_at and at < run.planned_at:
            go_on(run)
        else:
            run.approved_digest = run.plan_digest
            queue_apply(run)


def go_on(run: Run) -> None:
    """The agreement was given before this plan: apply it only where the offer lets a plan that only creates pass."""
    if run.plan and run.plan["creates_only"] and run.rules.get("apply_on_agree"):
        run.approved_digest = run.plan_digest
        queue_apply(run, note_text="a plan that only creates; the offer lets it apply on agreement")
    else:
        note(run, text="waits for run.confirm: this plan was made after the approval")
        tell(run, f"confirm:{run.plan_digest}"[:60], texts.needs_confirmation(facts(run)))


def confirm(run_id: int, *, by: str, reason: str | None) -> Run:
    """Let a plan be applied that was made after the approval, on a person's word."""
    run = get_locked(run_id)
    if run.status != RunStatus.PLANNED or run.decision != "approved":
        raise Conflict(
            f"Run {run.id} is {run.status}{'' if run.decision else ' and not approved yet'}; "
            "only an approved run that waits with a new plan can be confirmed.",
            state=run.status,
            allowed=actions(run),
        )
    run.confirmed_by = by
    run.approved_digest = run.plan_digest
    queue_apply(run, by=by, note_text=reason)
    return run


def discard(run_id: int, *, by: str, reason: str | None) -> Run:
    """Drop a run whose plan nobody wants any more."""
    run = get_locked(run_id)
    if run.status not in {RunStatus.PENDING, RunStatus.PLANNED}:
        raise _cannot(run, "discarded")
    end(run, RunStatus.DISCARDED, by=by, note_text=reason)
    return run


def cancel(run_id: int, *, by: str, reason: str | None) -> Run:
    """End a run now, or have its worker stop Terraform."""
    run = get_locked(run_id)
    if run.ended:
        raise _cannot(run, "canceled")
    if run.status in {RunStatus.PLANNING, RunStatus.APPLYING}:
        if run.cancel_requested_by is None:
            run.cancel_requested_by = by
            note(run, by=by, text=reason or "cancel requested", status="cancel_requested")
    else:
        end(run, RunStatus.CANCELED, by=by, note_text=reason)
    return run


def retry(run_id: int, *, by: str, reason: str | None) -> Run:
    """Go on from a run that failed or was canceled, through a new plan that somebody confirms."""
    old = get_locked(run_id)
    if not _may_be_retried(old):
        raise _cannot(old, "retried")
    origin = f"retry:{old.id}"
    if db.session.scalar(select(Run.id).where(Run.origin == origin)) is not None:
        raise Conflict(f"Run {old.id} was retried already.", state=old.status, allowed=[])
    run = Run(
        origin=origin,
        status=RunStatus.PENDING,
        decision=old.decision,
        decided_at=old.decided_at,
        approvers=old.approvers,
        **{name: getattr(old, name) for name in COPIED},
    )
    run.rules = _rules_of_retry(old.rules)
    db.session.add(run)
    db.session.flush()
    files.keep(run.id, files.VARIABLES, files.fetch_all(old.id).get(files.VARIABLES, b""))
    db.session.add(RunProgress(run_id=run.id))
    note(run, by=by, text=reason or f"retry of run {old.id}")
    enqueue("runs.work")
    return run


def reveal_output(run_id: int, name: str, *, by: str, reason: str) -> Any:  # noqa: ANN401 - any JSON
    """One output of the run's workspace in clear; the timeline keeps who looked at it and why."""
    run = get(run_id)
    stored = states.latest(run.workspace)
    if stored is None or name not in (run.outputs or {}):
        raise NotFound(f"Run {run_id} has no output {name}.")
    note(run, by=by, text=f"{name}: {reason}", status="output_revealed")
    return states.output_value(stored.content, name)


COPIED = (
    "kind", "workspace", "module", "module_version", "environment", "applicant_userid", "applicant_name",
    "approval_id", "approval", "variables",
)  # fmt: skip


def get(run_id: int) -> Run:
    """The run, or NotFound."""
    run = db.session.get(Run, run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run


def get_locked(run_id: int) -> Run:
    """The run, kept from others until the transaction ends: what is decided about it is decided on what is there."""
    run = db.session.get(Run, run_id, with_for_update=True, populate_existing=True)
    return run or get(run_id)


def actions(run: Run) -> list[str]:
    """What may be done with a run as it stands."""
    if run.ended:
        return ["retry"] if _may_be_retried(run) else []
    possible = ["cancel"]
    if run.status in {RunStatus.PENDING, RunStatus.PLANNED}:
        possible.append("discard")
    if run.status == RunStatus.PLANNED and run.decision == "approved":
        possible.append("confirm")
    return possible


def touch(run_id: int) -> None:
    """Raise the version a viewer compares, because something it shows has changed."""
    perform(TOUCH, {"run": run_id})


def note(run: Run, *, by: str | None = None, text: str | None = None, status: str | None = None) -> None:
    """Add a line to the timeline."""
    perform(ADD_STEP, {"run_id": run.id, "status": status or run.status, "at": now(), "actor": by, "note": text})
    touch(run.id)


def queue_apply(run: Run, *, by: str | None = None, note_text: str | None = None) -> None:
    """Hand the plan that stands to a worker."""
    run.move_to(RunStatus.APPLY_QUEUED)
    note(run, by=by, text=note_text)
    enqueue("runs.work")


def end(run: Run, status: RunStatus, *, by: str | None = None, note_text: str | None = None) -> None:
    """Bring a run to one of its ends: the workspace is free again and whoever worked on it is fenced off."""
    run.move_to(status)
    run.fence += 1
    run.lease_owner = run.lease_until = None
    files.drop(run.id, files.PLAN)
    note(run, by=by, text=note_text)
    states.release(run.workspace, run.id)
    wake_next(run.workspace)


def wake_next(workspace: str) -> None:
    """Put the workspace's oldest waiting run back in turn."""
    waiting = select(Run.id).where(Run.workspace == workspace, Run.status == RunStatus.PENDING).order_by(Run.id)
    run_id = db.session.scalar(waiting.limit(1))
    if run_id is not None:
        db.session.execute(update(Run).where(Run.id == run_id).values(held_up=None))
        enqueue("runs.work")


def fail(run: Run, error: str) -> None:
    """End a run with its error, and tell the applicant and the approvers."""
    run.error = error
    end(run, RunStatus.ERRORED, note_text=error.splitlines()[0][:500] if error else None)
    tell(run, "failed", texts.failed(facts(run)))
    if run.approval:
        comment(run, "failed", texts.failed_comment(facts(run)))


def tell(run: Run, what: str, text: tuple[str, str]) -> None:
    """Send the applicant a work notification, once for each `what`."""
    if run.applicant_userid:
        notifications.tell(f"run:{run.id}:{what}", userid=run.applicant_userid, title=text[0], text=text[1])


def comment(run: Run, what: str, text: str) -> None:
    """Write under the approval, once for each `what`."""
    approval = run.approval or {}
    if approval.get("instance_id"):
        notifications.comment(
            f"run:{run.id}:{what}", instance_id=approval["instance_id"], userid=run.applicant_userid, text=text
        )


def facts(run: Run) -> dict[str, Any]:
    """What the texts for people need."""
    names = ("id", "module", "workspace", "environment", "plan", "outputs", "error", "approval")
    return {**{name: getattr(run, name) for name in names}, "short_digest": short(run.plan_digest or "")}


def _rules_of_retry(rules: dict[str, Any]) -> dict[str, Any]:
    """Always look before applying; what was left half-made may be destroyed to be made again."""
    limits = rules["limits"]
    return {**rules, "apply_on_agree": False, "limits": {**limits, "actions": sorted({*limits["actions"], "delete"})}}


def _may_be_retried(run: Run) -> bool:
    return run.status in {RunStatus.ERRORED, RunStatus.CANCELED} and run.decision != "refused"


def _cannot(run: Run, what: str) -> Conflict:
    return Conflict(f"Run {run.id} is {run.status} and cannot be {what}.", state=run.status, allowed=actions(run))
