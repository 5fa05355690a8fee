"""What the worker does for runs: plan, apply, and come back to what was left lying."""

import platform
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsplatform.adapters.registry import adapters
from opsplatform.adapters.terraform import Finished
from opsplatform.core.db import transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.leases import LeaseLost, heart
from opsplatform.core.masking import Scrubber
from opsplatform.core.metrics import RUN_SECONDS, SETTLE_SECONDS
from opsplatform.core.settings import settings
from opsplatform.runs import applying, expiry, planning, sweeping, tickets, workdir
from opsplatform.runs.applying import Outcome
from opsplatform.runs.digest import digest_of
from opsplatform.runs.jobs import LARGE, Job
from opsplatform.runs.journal import Journal
from opsplatform.runs.watch import RunWatch
from opsplatform.runs.workdir import Workdir

APPLY_GRACE = 600.0
SETTLE_GRACE = 60.0
UNSURE = (
    "Terraform may still work here: its worker died just when it started it, or stands on a host that does not answer. "
    "Look for the process, then use workspace.unlock."
)


def plan(run_id: int) -> None:
    """Plan one run; whoever comes second finds it taken."""
    with transaction():
        job = planning.begin(run_id)
    if job is None:
        return
    folder = workdir.folder_of(settings().data_dir, job.run_id, job.lease.fence)
    with heart().held(job.lease):
        try:
            _plan(job, folder)
        except (UpstreamError, OSError) as error:
            with transaction():
                planning.fail(job.lease, _words(error), canceled=False)
        finally:
            folder.remove()


def apply(run_id: int) -> None:
    """Apply one run's plan; whoever comes second finds it taken."""
    with transaction():
        job = applying.begin(run_id)
    if job is None:
        return
    folder = workdir.folder_of(settings().data_dir, job.run_id, job.lease.fence)
    with heart().held(job.lease):
        watch = _watch(job, folder)
        try:
            outcome = _apply(job, folder, watch)
        except (UpstreamError, OSError) as error:
            sure = _stop(folder) or isinstance(error, UpstreamError) or not tickets.is_taken(_data_dir(), _ticket(job))
            outcome = _outcome(folder, watch.progress, error=_words(error), sure=sure)
        with transaction():
            watch.save()
            applying.finish(job.lease, outcome)
        tickets.drop(_data_dir(), _ticket(job))
        folder.remove()


def settle(run_id: int) -> None:
    """Bring a run to its end whose worker died while applying: never again, only what state and journal prove."""
    host = platform.node()[:60]
    with transaction():
        here, digest = sweeping.last_known(run_id, host)
        shown = sweeping.last_shown(run_id)
        lease = sweeping.take_abandoned(run_id, host)
    if lease is None:
        return
    with heart().held(lease), SETTLE_SECONDS.time():
        folder = workdir.last_folder_of(_data_dir(), run_id)
        ticket = tickets.of_plan(run_id, digest)
        holder = tickets.take(_data_dir(), ticket, tickets.SETTLED if here else tickets.AWAY)
        sure = _stop(folder) or holder == tickets.SETTLED
        if not sure and tickets.is_starting(_data_dir(), ticket, holder):
            return  # its worker lives and starts Terraform at this moment; the sweeper comes again
        error = "The worker died while it applied the plan; what exists is recorded, retry goes on from there."
        outcome = _outcome(folder, _journal(folder) if folder else shown, error=error, sure=sure)
        with transaction():
            applying.finish(lease, outcome)
        if folder:
            folder.remove()


def sweep() -> None:
    """Wake a worker for what nobody picked up."""
    with transaction():
        sweeping.sweep()


def expire() -> None:
    """Discard plans that waited too long for their approval, and warn before."""
    with transaction():
        expiry.expire(timedelta(days=settings().ops_plan_expiry_days))


def _plan(job: Job, folder: Workdir) -> None:
    watch = _watch(job, folder)
    finished = _run_plan(job, folder, watch)
    if finished.succeeded and job.backend == "local" and watch.progress.total > LARGE:
        with transaction():
            planning.use_backend(job, "http")
        job = replace(job, backend="http")
        watch.progress = Journal()
        finished = _run_plan(job, folder, watch)
    if not finished.succeeded:
        with transaction():
            watch.save()
            planning.fail(job.lease, watch.clean(finished.first_error), canceled=finished.canceled)
        return
    terraform = adapters().terraform
    plan_json = terraform.show_plan(
        folder.module, folder.plan, env=_environment(job, folder), timeout=_limit(job, "plan_seconds")
    )
    lock = folder.module / workdir.LOCK_FILE
    lock_bytes = lock.read_bytes() if lock.is_file() else b""
    with transaction():
        watch.save()
        planning.finish(job, folder.plan.read_bytes(), lock_bytes, plan_json, terraform.version())


def _run_plan(job: Job, folder: Workdir, watch: RunWatch) -> Finished:
    workdir.render(folder, job.module_files, variables=job.variables, backend=job.backend, state=job.state)
    _copy_lock(job, folder)
    begun = time.perf_counter()
    finished = adapters().terraform.plan(
        folder.module,
        var_file=folder.variables,
        out=folder.plan,
        env=_environment(job, folder),
        timeout=_limit(job, "plan_seconds"),
        watch=watch,
        destroy=job.kind == "destroy",
    )
    return _clocked("plan", begun, finished)


def _apply(job: Job, folder: Workdir, watch: RunWatch) -> Outcome:
    workdir.render(folder, job.module_files, variables=job.variables, backend=job.backend, state=job.state)
    workdir.write_private(folder.plan, job.plan or b"")
    _copy_lock(job, folder)
    environment = _environment(job, folder)
    me = tickets.me()
    if tickets.take(_data_dir(), _ticket(job), me) != me:
        folder.remove()
        raise LeaseLost(f"run {job.run_id} was settled before its Terraform started")
    begun = time.perf_counter()
    finished = adapters().terraform.apply(
        folder.module,
        folder.plan,
        env=environment,
        timeout=_limit(job, "apply_seconds"),
        grace=APPLY_GRACE,
        watch=watch,
    )
    _clocked("apply", begun, finished)
    canceled = finished.canceled and not finished.succeeded
    error = None if finished.succeeded or canceled else watch.clean(finished.first_error)
    return _outcome(folder, watch.progress, error=error, canceled=canceled)


def _clocked(step: str, begun: float, finished: Finished) -> Finished:
    """Count how long it took, and whether it went well."""
    RUN_SECONDS.labels(step, "ok" if finished.succeeded else "failed").observe(time.perf_counter() - begun)
    return finished


def _copy_lock(job: Job, folder: Workdir) -> None:
    """Give the run the provider hashes its module version was initialised with."""
    lock = _warm(job) / workdir.LOCK_FILE
    if lock.is_file():
        (folder.module / workdir.LOCK_FILE).write_bytes(lock.read_bytes())


def _warm(job: Job) -> Path:
    terraform = adapters().terraform
    key = f"{job.warm_key}-{terraform.version()}"
    return workdir.warm(terraform, settings().data_dir, key, job.module_files, state_env=_state_environment(job))


def _environment(job: Job, folder: Workdir) -> dict[str, str]:
    """What Terraform sees: nothing of ours but the environment's credentials and the way to its state."""
    extra = {**settings().terraform_environment(job.environment), **_state_environment(job)}
    return adapters().terraform.environment(folder.root, data_dir=_warm(job) / ".terraform", extra=extra)


def _state_environment(job: Job) -> dict[str, str]:
    """The way to the state of a run that keeps it with us; empty when it is kept in the folder."""
    if job.backend == "local":
        return {}
    address = f"{settings().own_url}/terraform/state/{job.workspace}"
    addresses = {f"TF_HTTP_{name}ADDRESS": address for name in ("", "LOCK_", "UNLOCK_")}
    return {**addresses, "TF_HTTP_USERNAME": str(job.run_id), "TF_HTTP_PASSWORD": job.credential}


def _watch(job: Job, folder: Workdir) -> RunWatch:
    secrets = [*job.secrets, *settings().terraform_environment(job.environment).values(), job.credential]
    return RunWatch(job.lease, Scrubber(secrets), workdir=folder, mirror=job.backend == "local")


def _outcome(
    folder: Workdir | None, journal: Journal, *, error: str | None, canceled: bool = False, sure: bool = True
) -> Outcome:
    """What is known; `sure` says that no Terraform of this run works any more, or ever will."""
    state = folder.read_state() if folder else None
    return Outcome(state, error, canceled=canceled, created=journal.made(), aside=None if sure else UNSURE)


def _stop(folder: Workdir | None) -> bool:
    """Stop the Terraform that may still work in the folder; False when none is noted there."""
    process = folder.read_process() if folder else None
    if process is None:
        return False
    adapters().terraform.stop_process(*process, grace=SETTLE_GRACE)
    return True


def _ticket(job: Job) -> str:
    return tickets.of_plan(job.run_id, digest_of(job.inputs(job.plan or b"", job.lock)))


def _data_dir() -> Path:
    return settings().data_dir


def _journal(folder: Workdir) -> Journal:
    """What Terraform had said before its worker died."""
    journal = Journal()
    for line in folder.read_output():
        journal.take(line)
    return journal


def _limit(job: Job, name: str) -> float:
    return float(job.rules["limits"][name])


def _words(error: UpstreamError | OSError) -> str:
    return error.message if isinstance(error, UpstreamError) else f"The working folder cannot be used: {error.strerror}"
