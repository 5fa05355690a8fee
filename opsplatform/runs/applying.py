"""Apply a run: that very plan, once, and record what came of it."""

import json
from dataclasses import dataclass
from typing import Any

from opsplatform.core import leases
from opsplatform.core.errors import Conflict, NoPermission, NotFound
from opsplatform.core.leases import Lease
from opsplatform.inventory import service as inventory
from opsplatform.notifications import texts
from opsplatform.runs import expiry, files, planning, service
from opsplatform.runs.digest import difference
from opsplatform.runs.jobs import Job, read_job
from opsplatform.runs.models import WORKSPACE, Run, RunStatus
from opsplatform.states import service as states

QUEUED = Run.status == RunStatus.APPLY_QUEUED
DIED = "The worker died while it applied the plan; what exists is recorded, retry goes on from there."
APPLIED_BEFORE = (
    "This plan was applied before, and the database does not know what came of it: it was brought back from an earlier "
    "day. Look at what exists, then use workspace.unlock."
)
UNSURE = (
    "Terraform may still work here: its worker died just when it started it, or stands on a host that does not answer. "
    "Look for the process, then use workspace.unlock."
)


@dataclass(frozen=True)
class Outcome:
    """What an apply ended with, as far as it is known.

    Attributes:
        state: what Terraform left in the folder; None when the state went to the http backend, or nothing was made.
        error: the first error in plain words; None when all went well.
        created: what Terraform made or may have made, by address, with the id its provider gave, if it is known.
        aside: why nobody may go on in the workspace before a person has looked; None when there is no reason.
    """

    state: bytes | None
    error: str | None
    canceled: bool
    created: dict[str, str | None]
    aside: str | None = None


def begin(run_id: int) -> Job | None:
    """Take a run whose plan may be applied, prove that everything is as it was approved, and start the clock.

    Once this is committed the run is `applying`; nothing brings it back, so no second apply can ever start.
    """
    lease = leases.claim(Run, run_id, QUEUED)
    if lease is None:
        return None
    run = service.get(run_id)
    if not states.hold(run.workspace, run.id, fence=lease.fence):  # before its state is read, so that it stays so
        run.held_up = WORKSPACE
        leases.release(lease)
        return None
    try:
        job = read_job(run, lease)
    except Conflict as error:
        planning.again(run, error.message)
        return None
    except NotFound as error:
        service.fail(run, f"{error.message} Nothing was applied.")
        return None
    trouble = _trouble(run, job)
    if trouble:
        planning.again(run, trouble)
        return None
    run.move_to(RunStatus.APPLYING)
    service.note(run)
    return job


def finish(lease: Lease, outcome: Outcome) -> None:
    """Record the state, the inventory and the end of the run."""
    leases.check(lease)
    settle(service.get(lease.row_id), outcome)


def settle(run: Run, outcome: Outcome) -> None:
    """Make the record say what exists, whatever happened to the worker."""
    problem = _store_state(run, outcome)
    if outcome.aside:
        states.quarantine(run.workspace, outcome.aside)
    try:
        _record(run, outcome)
    except Conflict as error:  # a state that does not open says nothing of what exists, so nothing is ended by it
        states.quarantine(run.workspace, error.message)
        problem = error.message
    if problem or outcome.error:
        service.fail(run, " ".join(filter(None, [outcome.error, problem])))
    elif outcome.canceled:
        service.end(run, RunStatus.CANCELED, by=run.cancel_requested_by, note_text="stopped while applying")
    else:
        service.end(run, RunStatus.APPLIED)
        service.tell(run, "applied", texts.applied(service.facts(run)))


def _record(run: Run, outcome: Outcome) -> None:
    """Bring inventory and outputs to what the state holds."""
    stored = states.latest(run.workspace)
    found = states.resources_of(stored.content) if stored else []
    inventory.record(_owner(run), found, orphans=_orphans(outcome, found))
    if stored:
        outputs = states.outputs_of(stored.content).items()
        run.outputs = {name: service.MASK if each["sensitive"] else each["value"] for name, each in outputs}


def _trouble(run: Run, job: Job) -> str | None:
    """Why the plan that was approved must not be applied; None when everything is as it was."""
    if job.plan is None:
        return "The plan that was approved is not there any more; a new one is made."
    if run.decision != "approved":
        return "No agreement to the plan is on record any more; a new one is made."
    if expiry.is_over(run):
        return "The plan that was approved has expired; a new one is made."
    if run.approved_digest == job.digest:
        return None
    kept = files.fetch_all(run.id).get(files.PARTS, b"{}")
    changed = difference(json.loads(kept), job.parts)
    if not changed:
        return "The approval was given to another plan than the one that is kept; a new one is made."
    if "variables" in changed:  # nobody has seen what is asked for now
        run.rules = {**run.rules, "apply_on_agree": False}
    return f"Not as approved: {', '.join(changed)} changed since the approval; a new plan is made."


def _store_state(run: Run, outcome: Outcome) -> str | None:
    """Keep what Terraform left; a state that does not fit puts the workspace aside until a person looks at it."""
    if outcome.state is None:
        return None
    try:
        states.store(run.workspace, outcome.state, run_id=run.id)
    except (Conflict, NoPermission) as error:
        states.quarantine(run.workspace, error.message)
        return f"The state could not be stored: {error.message}"
    return None


def _orphans(outcome: Outcome, found: list[states.StateResource]) -> dict[str, str | None]:
    """What was made, or may have been, and the state does not hold; after a clean end there is none.

    The state may still hold the object that was there before, at the same address. An id that is masked or that the
    state does not tell cannot be compared, so the address decides.
    """
    if not (outcome.error or outcome.canceled):
        return {}
    held = {resource.address: resource.provider_id for resource in found}
    return {
        address: made
        for address, made in outcome.created.items()
        if made is None or address not in held or held[address] not in {made, None, service.MASK}
    }


def _owner(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "module": run.module,
        "workspace": run.workspace,
        "environment": run.environment,
        "applicant_userid": run.applicant_userid,
        "applicant_name": run.applicant_name,
        "approval": run.approval,
        "approvers": run.approvers,
    }
