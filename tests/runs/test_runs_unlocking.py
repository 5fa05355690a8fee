"""A forced unlock, and when it is refused: Terraform must not work in a workspace that is free."""

import json
import subprocess

import pytest
from sqlalchemy import update

from opsplatform.adapters.process_table import start_time_of
from opsplatform.core.db import db, epoch, transaction
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.rpc_method import Entry
from opsplatform.runs import rpc, workdir
from opsplatform.runs.models import Run, RunStatus
from opsplatform.states import locks
from opsplatform.states import service as states

LOCK = {"ID": "l-1", "Operation": "OperationTypeApply", "Who": "me@here", "Created": "2026-01-01T00:00:00Z"}


def unlock(name="web"):
    """The answer as it leaves."""
    [entry] = [Entry(method) for method in rpc.METHODS if method.name == "workspace.unlock"]
    with transaction():
        return json.loads(b"{" + entry.dump(entry.method.function(**entry.bind({"name": name}))) + b"}")["result"]


def set_status(run_id, status, *, lease_until):
    with transaction():
        values = {"status": status, "lease_owner": "another-host:1", "lease_until": lease_until}
        db.session.execute(update(Run).where(Run.id == run_id).values(**values))


@pytest.fixture
def holder(planned):
    """A run that waits for its approval and holds its workspace meanwhile."""
    return planned()


@pytest.fixture
def left_behind(platform, holder):
    """A process that is noted in the run's folder and lives."""
    child = subprocess.Popen(["sleep", "60"])
    folder = workdir.folder_of(platform.app.extensions["settings"].data_dir, holder, 2)
    folder.root.mkdir(parents=True)
    folder.note_process(child.pid, start_time_of(child.pid))
    yield child
    child.kill()
    child.wait()


def test_it_takes_lock_holder_and_quarantine_away(holder):
    with transaction():
        locks.lock("web", LOCK, run_id=holder, fence=states.get("web").holder_fence)
        states.quarantine("web", "the state does not fit")

    found = unlock()

    assert (found["run_id"], found["lock"], found["quarantined_reason"]) == (None, None, None)
    with transaction(), pytest.raises(states.NotHeld):
        states.require_holder("web", holder)


@pytest.mark.parametrize("status", [RunStatus.PLANNING, RunStatus.APPLYING])
@pytest.mark.parametrize("lease_until", [epoch() + 5.0, 0.0])
def test_it_is_refused_while_a_run_works_there_or_its_dead_worker_was_not_noticed(holder, status, lease_until):
    set_status(holder, status, lease_until=lease_until)

    with pytest.raises(Conflict, match=f"Run {holder} is {status} in workspace web") as refused:
        unlock()

    assert (refused.value.data["state"], refused.value.data["allowed"]) == (status, ["cancel"])
    assert states.get("web").holder_run_id == holder


def test_it_is_refused_while_terraform_of_a_run_that_ended_lives_on_this_host(holder, left_behind):
    set_status(holder, RunStatus.ERRORED, lease_until=None)
    with transaction():
        states.quarantine("web", "its worker does not answer")

    with pytest.raises(Conflict, match=f"still works in workspace web on this host, as process {left_behind.pid}"):
        unlock()
    left_behind.kill()
    left_behind.wait()

    assert unlock()["quarantined_reason"] is None


def test_what_works_in_another_workspace_is_no_reason(order_run, left_behind):
    order_run(workspace="other")

    assert unlock("other")["run_id"] is None


def test_where_there_is_no_workspace_there_is_nothing_to_unlock(platform):
    with pytest.raises(NotFound):
        unlock("nowhere")
