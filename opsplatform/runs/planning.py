"""Plan a run: take it, remember what Terraform would do, and decide what that plan may lead to."""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, or_

from opsplatform.catalog import service as catalog
from opsplatform.core import leases
from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.leases import Lease
from opsplatform.core.masking import mask_plan
from opsplatform.core.queue import enqueue
from opsplatform.notifications import texts
from opsplatform.runs import files, service
from opsplatform.runs.digest import canonical, summarise
from opsplatform.runs.jobs import Job, read_job
from opsplatform.runs.models import WORKSPACE, Run, RunStatus
from opsplatform.states import service as states

MOST_ATTEMPTS = 5
LAPSED = and_(Run.status == RunStatus.PLANNING, Run.lease_owner.is_not(None))  # its planner died
PLANNABLE = or_(Run.status == RunStatus.PENDING, LAPSED)


def begin(run_id: int) -> Job | None:
    """Take a waiting run, or one whose planner died, and its workspace; None when somebody else has it."""
    lease = leases.claim(Run, run_id, PLANNABLE, counted=True)
    if lease is None:
        return None
    run = service.get(run_id)
    if not states.hold(run.workspace, run.id, fence=lease.fence):
        run.held_up = WORKSPACE
        run.attempts -= 1  # to wait is no attempt: whoever goes first may take weeks, and wakes this one when it ends
        leases.release(lease)
        return None
    if run.cancel_requested_by:
        service.end(run, RunStatus.CANCELED, by=run.cancel_requested_by)
        return None
    if run.attempts > MOST_ATTEMPTS:
        service.fail(run, f"Planning was interrupted {MOST_ATTEMPTS} times; the run was given up.")
        return None
    if run.status == RunStatus.PENDING:
        run.move_to(RunStatus.PLANNING)
    run.started_at = run.started_at or now()
    service.note(run)
    try:
        _take_version(run)
        return read_job(run, lease)
    except (Conflict, NotFound) as error:
        service.fail(run, error.message)
        return None


def use_backend(job: Job, backend: str) -> None:
    """Remember where the state of this run is kept."""
    leases.check(job.lease)
    service.get(job.run_id).backend = backend


def finish(job: Job, plan: bytes, lock: bytes, plan_json: dict[str, Any], engine: str) -> None:
    """Record the plan, show it to the approvers, and go on if the approval is there already."""
    run = _hold_on(job.lease)
    if run.cancel_requested_by:  # the request came when Terraform had ended already
        service.end(run, RunStatus.CANCELED, by=run.cancel_requested_by)
        return
    summary = summarise(plan_json)
    limits = catalog.Limits(**job.rules["limits"])
    refusals = catalog.check_plan(limits, plan_json, actions=DESTROYS if run.kind == "destroy" else None)
    made = replace(job, plan=plan, lock=lock, plan_json=canonical(mask_plan(plan_json)))
    run.plan_digest = made.digest
    run.plan = {**{name: summary[name] for name in PLAN_FACTS}, "digest": run.plan_digest}
    run.engine = engine
    files.keep(run.id, files.PLAN_JSON, made.plan_json)
    if refusals:
        service.fail(run, "The plan is not allowed: " + "; ".join(refusals))
    elif not any(summary[name] for name in WORK):
        service.end(run, RunStatus.PLANNED_AND_FINISHED)
        service.tell(run, "nothing", texts.nothing_to_do(service.facts(run)))
    else:
        files.keep(run.id, files.PLAN, plan)
        files.keep(run.id, files.LOCK, lock)
        files.keep(run.id, files.PARTS, json.dumps(made.parts).encode())
        _show(run, made)


def _show(run: Run, made: Job) -> None:
    """Let a plan be decided on."""
    run.move_to(RunStatus.PLANNED)
    run.planned_at = now()
    leases.release(made.lease)
    service.note(run)
    service.comment(run, f"plan:{made.digest[:16]}", texts.plan_ready(service.facts(run)))
    if run.decision == "approved":
        service.go_on(run)


DESTROYS = ("delete",)
PLAN_FACTS = ("add", "change", "destroy", "imports", "summary", "creates_only")
WORK = ("add", "change", "destroy", "imports", "outputs_change")


def fail(lease: Lease, error: str, *, canceled: bool) -> None:
    """Planning did not work, or was stopped."""
    run = _hold_on(lease)
    if canceled or run.cancel_requested_by:
        service.end(run, RunStatus.CANCELED, by=run.cancel_requested_by)
    else:
        service.fail(run, error)


def again(run: Run, reason: str) -> None:
    """Send a run back to be planned again, because the plan that was approved cannot be used."""
    files.drop(run.id, files.PLAN)
    run.move_to(RunStatus.PENDING)
    run.lease_owner = run.lease_until = None
    service.note(run, text=reason)
    enqueue("runs.work")


def _take_version(run: Run) -> None:
    """Plan the module as it is now. A version that was not ordered never applies before somebody saw its plan."""
    current = catalog.current_version(run.module)
    if current == run.module_version:
        return
    service.note(run, text=f"the module was changed since it was ordered; planning version {current[:16]}")
    run.module_version = current
    run.rules = {**run.rules, "apply_on_agree": False}


def _hold_on(lease: Lease) -> Run:
    leases.check(lease)
    return db.session.get_one(Run, lease.row_id)
