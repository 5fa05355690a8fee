"""Runs: order one, decide on it, and what a person may do with it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import load_only

from opsplatform.catalog.service import Order
from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.queue import enqueue
from opsplatform.notifications import service as notifications
from opsplatform.notifications import texts
from opsplatform.runs import files
from opsplatform.runs.digest import short
from opsplatform.runs.models import Run, RunProgress, RunStatus, RunStep
from opsplatform.states import service as states

APPLY_FIRST = 10
MASK = "***"


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
            "limits": asdict(order.limits),
        },
    )
    db.session.add(run)
    db.session.flush()  # the job needs the run's id
    files.keep(run.id, files.VARIABLES, variables_file(order.variables))
    db.session.add(RunProgress(run_id=run.id))
    states.open_workspace(workspace, module=order.module, environment=order.environment)
    note(run)
    enqueue("runs.plan", run_id=run.id)
    return run


def decide(run: Run, *, approved: bool, approvers: list[dict[str, Any]]) -> None:
    """Take the approval's outcome. Agreement applies the plan that was shown; refusal ends the run.

    An agreement that comes before there is a plan waits for it; the rule for plans made after the agreement is
    `planning.finish`. What was decided once stays decided.
    """
    if run.decision is not None or run.ended:
        return
    if not approved and run.status == RunStatus.APPLYING:
        return
    run.decision = "approved" if approved else "refused"
    run.decided_at = now()
    run.approvers = approvers
    if not approved:
        end(run, RunStatus.DISCARDED, note_text="the approval was refused or withdrawn")
    elif run.status == RunStatus.PLANNED:
        run.approved_digest = run.plan_digest
        queue_apply(run)


def confirm(run_id: int, *, by: str, reason: str | None) -> Run:
    """Let a plan be applied that was made after the approval, on a person's word."""
    run = get(run_id)
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
    run = get(run_id)
    if run.status not in {RunStatus.PENDING, RunStatus.PLANNED}:
        raise _cannot(run, "discarded")
    end(run, RunStatus.DISCARDED, by=by, note_text=reason)
    return run


def cancel(run_id: int, *, by: str, reason: str | None) -> Run:
    """End a run now, or have its worker stop Terraform."""
    run = get(run_id)
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
    old = get(run_id)
    if old.status not in {RunStatus.ERRORED, RunStatus.CANCELED}:
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
    files.keep(run.id, files.VARIABLES, files.fetch(old.id, files.VARIABLES) or b"{}")
    db.session.add(RunProgress(run_id=run.id))
    note(run, by=by, text=reason or f"retry of run {old.id}")
    enqueue("runs.plan", run_id=run.id)
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


def runs_of_approval(approval_id: int) -> Sequence[Run]:
    """Every run an approval led to, oldest first."""
    return db.session.scalars(select(Run).where(Run.approval_id == approval_id).order_by(Run.id)).all()


def ids_by_approval(approval_ids: Sequence[int]) -> dict[int, list[int]]:
    """Run ids of many approvals at once, oldest first."""
    found: dict[int, list[int]] = {}
    query = select(Run).where(Run.approval_id.in_(approval_ids)).order_by(Run.id).options(load_only(Run.approval_id))
    for run in db.session.scalars(query):
        found.setdefault(run.approval_id or 0, []).append(run.id)
    return found


def actions(run: Run) -> list[str]:
    """What may be done with a run as it stands."""
    if run.ended:
        return ["retry"] if run.status in {RunStatus.ERRORED, RunStatus.CANCELED} else []
    possible = ["cancel"]
    if run.status in {RunStatus.PENDING, RunStatus.PLANNED}:
        possible.append("discard")
    if run.status == RunStatus.PLANNED and run.decision == "approved":
        possible.append("confirm")
    return possible


def touch(run_id: int) -> None:
    """Raise the version a viewer compares, because something it shows has changed."""
    db.session.execute(update(RunProgress).where(RunProgress.run_id == run_id).values(version=RunProgress.version + 1))


def note(run: Run, *, by: str | None = None, text: str | None = None, status: str | None = None) -> None:
    """Add a line to the timeline."""
    db.session.add(RunStep(run_id=run.id, status=status or run.status, at=now(), by=by, note=text))
    touch(run.id)


def queue_apply(run: Run, *, by: str | None = None, note_text: str | None = None) -> None:
    """Hand the plan that stands to a worker."""
    run.move_to(RunStatus.APPLY_QUEUED)
    note(run, by=by, text=note_text)
    enqueue("runs.apply", run_id=run.id, priority=APPLY_FIRST)


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
    """Hand the workspace's oldest waiting run to a worker."""
    waiting = (
        select(Run.id).where(Run.workspace == workspace, Run.status == RunStatus.PENDING).order_by(Run.id).limit(1)
    )
    run_id = db.session.scalar(waiting)
    if run_id is not None:
        enqueue("runs.plan", run_id=run_id)


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


def variables_file(variables: dict[str, Any]) -> bytes:
    """The variables as Terraform reads them: one JSON file; a string in it is only ever a string."""
    return json.dumps(variables, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _rules_of_retry(rules: dict[str, Any]) -> dict[str, Any]:
    """Always look before applying; what was left half-made may be destroyed to be made again."""
    limits = rules["limits"]
    return {**rules, "apply_on_agree": False, "limits": {**limits, "actions": sorted({*limits["actions"], "delete"})}}


def _cannot(run: Run, what: str) -> Conflict:
    return Conflict(f"Run {run.id} is {run.status} and cannot be {what}.", state=run.status, allowed=actions(run))
