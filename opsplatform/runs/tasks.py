"""What the worker does for runs: plan, apply, and come back to what was left lying."""

import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from opsplatform.adapters.admission import Ledger, Room
from opsplatform.adapters.registry import adapters
from opsplatform.adapters.terraform import Finished
from opsplatform.core.db import reading, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.leases import LeaseLost, heart
from opsplatform.core.masking import Scrubber
from opsplatform.core.metrics import RUN_SECONDS, SETTLE_SECONDS
from opsplatform.core.patience import insist
from opsplatform.core.queue import enqueue, run_apart
from opsplatform.core.settings import settings
from opsplatform.runs import adoption, applying, costs, expiry, planning, restored, sweeping, tickets, turns, workdir
from opsplatform.runs.applying import APPLIED_BEFORE, DIED, UNSURE, Outcome
from opsplatform.runs.jobs import LARGE, Job
from opsplatform.runs.journal import Journal
from opsplatform.runs.turns import Turn, TurnFailed
from opsplatform.runs.watch import RunWatch
from opsplatform.runs.workdir import Workdir

APPLY_GRACE = 600.0
SETTLE_GRACE = 60.0
TICKET_SECONDS = 90 * 24 * 3600.0  # a database that is brought back is hardly older


def work() -> None:
    """Take the run whose turn it is and do its next step, apart from the queue: that may take long."""
    turn = None
    try:
        with transaction():
            turn = turns.take(_ledger())
            if turn and turn.others_wait:  # this wake-up may have been another run's
                enqueue("runs.work")
    except TurnFailed as failed:
        with transaction():
            turns.set_aside(failed.run_id)
            enqueue("runs.work")
        raise
    except BaseException:
        if turn:
            turn.place.give_back()
        raise
    if turn:
        run_apart(f"runs.{turn.step}", partial(_do, turn), run_id=turn.job.run_id)


def _do(turn: Turn) -> None:
    try:
        (_apply_run if turn.step == "apply" else _plan_run)(turn.job)
    finally:
        if turn.place.give_back():
            with transaction():
                enqueue("runs.work")


def _plan_run(job: Job) -> None:
    folder = workdir.folder_of(settings().data_dir, job.run_id, job.lease.fence)
    with heart().held(job.lease):
        try:
            _plan(job, folder)
        except (UpstreamError, OSError) as error:
            insist(partial(planning.fail, job.lease, _words(error), canceled=False))
        finally:
            folder.remove()


def _apply_run(job: Job) -> None:
    folder = workdir.folder_of(settings().data_dir, job.run_id, job.lease.fence)
    with heart().held(job.lease):
        watch = _watch(job, folder)
        try:
            outcome = _apply(job, folder, watch)
        except (UpstreamError, OSError) as error:
            sure = _stop(folder) or isinstance(error, UpstreamError) or not tickets.is_taken(_data_dir(), _ticket(job))
            outcome = _outcome(folder, watch.progress, error=_words(error), sure=sure)
        insist(_with(job, "apply", watch, partial(applying.finish, job.lease, outcome)))
        tickets.close(_data_dir(), _ticket(job))
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
        outcome = _outcome(folder, _journal(folder) if folder else shown, error=DIED, sure=sure)
        if holder == tickets.ENDED:
            outcome = replace(outcome, error=APPLIED_BEFORE, aside=APPLIED_BEFORE)
        insist(partial(applying.finish, lease, outcome))
        if folder:
            folder.remove()


def sweep() -> None:
    """Wake a worker for what nobody picked up; remove the folders that dead ones left on this host."""
    quiet = workdir.quiet(_data_dir())
    with transaction():
        sweeping.sweep()
        left = sweeping.left_behind(quiet)
    for run_id, fence in left:
        workdir.folder_of(_data_dir(), run_id, fence).remove()


def expire() -> None:
    """Discard plans that waited too long for their approval, and warn before; forget tickets of long ago."""
    with transaction():
        expiry.expire(timedelta(days=settings().ops_plan_expiry_days))
    old = tickets.old(_data_dir(), TICKET_SECONDS)
    with reading():
        under_way = {run_id for run_id, _ in restored.under_way()}
    for ticket in (name for name, run_id in old.items() if run_id not in under_way):
        tickets.drop(_data_dir(), ticket)


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
        error = watch.clean(finished.first_error + adoption.hint(job.orphans))
        insist(_with(job, "plan", watch, partial(planning.fail, job.lease, error, canceled=finished.canceled)))
        return
    terraform = adapters().terraform
    plan_json = terraform.show_plan(folder.module, folder.plan, env=_environment(job, folder), **_bounds(job, "plan"))
    lock = folder.module / workdir.LOCK_FILE
    made = (folder.plan.read_bytes(), lock.read_bytes() if lock.is_file() else b"", plan_json, terraform.version())
    insist(_with(job, "plan", watch, partial(planning.finish, job, *made)))


def _run_plan(job: Job, folder: Workdir, watch: RunWatch) -> Finished:
    workdir.render(folder, job.files, variables=job.variables, backend=job.backend, state=job.state)
    _copy_lock(job, folder)
    finished = adapters().terraform.plan(
        folder.module,
        var_file=folder.variables,
        out=folder.plan,
        env=_environment(job, folder),
        watch=watch,
        destroy=job.kind == "destroy",
        **_bounds(job, "plan"),
    )
    return _clocked("plan", finished, watch)


def _apply(job: Job, folder: Workdir, watch: RunWatch) -> Outcome:
    workdir.render(folder, job.files, variables=job.ephemeral or b"{}", backend=job.backend, state=job.state)
    workdir.write_private(folder.plan, job.plan or b"")
    _copy_lock(job, folder)
    environment = _environment(job, folder)
    me = tickets.me()
    if tickets.take(_data_dir(), _ticket(job), me) != me:
        folder.remove()
        raise LeaseLost(f"run {job.run_id} was settled before its Terraform started")
    finished = adapters().terraform.apply(
        folder.module,
        folder.plan,
        env=environment,
        grace=APPLY_GRACE,
        var_file=folder.variables if job.ephemeral else None,
        watch=watch,
        **_bounds(job, "apply"),
    )
    _clocked("apply", finished, watch)
    canceled = finished.canceled and not finished.succeeded
    error = None if finished.succeeded or canceled else watch.clean(finished.first_error)
    return _outcome(folder, watch.progress, error=error, canceled=canceled)


def _with(job: Job, step: str, watch: RunWatch, record: Callable[[], None]) -> Callable[[], None]:
    """What Terraform said and took is written with what became of it."""

    def write() -> None:
        watch.save()
        costs.learn(job.module, step, watch.used)
        record()

    return write


def _clocked(step: str, finished: Finished, watch: RunWatch) -> Finished:
    """Count how long it took, and whether it went well."""
    watch.used = finished.used
    RUN_SECONDS.labels(step, "ok" if finished.succeeded else "failed").observe(finished.used.seconds)
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
    """Stop the Terraform that may still work in the folder; False when none was noted or is found there."""
    process = folder.find_process() if folder else None
    if process is None:
        return False
    adapters().terraform.stop_process(*process, grace=SETTLE_GRACE)
    return True


def _ticket(job: Job) -> str:
    return tickets.of_plan(job.run_id, job.digest)


def _ledger() -> Ledger:
    return Ledger(_data_dir() / "host.json", Room.of_host(settings().ops_worker_memory_mb))


def _data_dir() -> Path:
    return settings().data_dir


def _journal(folder: Workdir) -> Journal:
    """What Terraform had said before its worker died."""
    journal = Journal()
    for line in folder.read_output():
        journal.take(line)
    return journal


def _bounds(job: Job, step: str) -> dict[str, Any]:
    return {"timeout": float(job.rules["limits"][f"{step}_seconds"]), "limits": job.limits}


def _words(error: UpstreamError | OSError) -> str:
    return error.message if isinstance(error, UpstreamError) else f"The working folder cannot be used: {error.strerror}"
