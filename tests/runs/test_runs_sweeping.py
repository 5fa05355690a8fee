"""What was left lying is found: lost messages, dead workers."""

import os
import platform as host
import subprocess

import pytest
from sqlalchemy import update

from opsplatform.adapters.process_table import start_time_of
from opsplatform.core.db import db, epoch, transaction
from opsplatform.core.leases import owner
from opsplatform.inventory.models import Resource
from opsplatform.runs import sweeping, tickets, workdir
from opsplatform.runs.models import Run, RunStatus
from opsplatform.states.models import Workspace
from tests.miniatures import count, state

HERE = host.node()[:60]


def set_run(run_id, **values):
    with transaction():
        db.session.execute(update(Run).where(Run.id == run_id).values(**{"wake_at": 0.0, **values}))


def seconds_ago(seconds):
    return epoch() - float(seconds)


@pytest.fixture
def dead():
    """The owner name of a process of this host that has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return f"{HERE}:{child.pid}"


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.PLANNING, RunStatus.APPLY_QUEUED])
def test_a_run_whose_message_was_lost_is_woken(platform, order_run, status):
    run_id = order_run()
    platform.waiting()
    set_run(run_id, status=status)

    platform.do("runs.sweep")

    assert platform.waiting() == [("runs.work", {})]


def test_a_run_whose_worker_died_while_applying_is_settled(platform, order_run):
    run_id = order_run()
    platform.waiting()
    set_run(run_id, status=RunStatus.APPLYING)

    platform.do("runs.sweep")

    assert platform.waiting() == [("runs.settle", {"run_id": run_id})]


@pytest.mark.parametrize("status", [RunStatus.PLANNED, RunStatus.APPLIED, RunStatus.DISCARDED])
def test_a_run_that_waits_for_a_person_or_has_ended_is_left_alone(platform, order_run, status):
    run_id = order_run()
    platform.waiting()
    set_run(run_id, status=status)

    platform.do("runs.sweep")

    assert platform.waiting() == []


def test_a_run_somebody_works_on_is_left_alone(platform, order_run):
    run_id = order_run()
    platform.waiting()
    set_run(run_id, status=RunStatus.PLANNING, lease_owner=owner(), lease_until=epoch() + 5.0)

    platform.do("runs.sweep")

    assert platform.waiting() == []


def test_what_a_dead_process_of_this_host_held_is_free_at_once(platform, order_run, dead):
    run_id = order_run()
    platform.waiting()
    set_run(run_id, status=RunStatus.PLANNING, lease_owner=dead, lease_until=epoch() + 600.0)

    platform.do("runs.sweep")

    assert platform.waiting() == [("runs.work", {})]


@pytest.mark.parametrize(
    ("holder", "silent", "taken"),
    [
        (f"{HERE}:1", 21, True),
        (f"{HERE}:1", 1, False),
        (f"{HERE}:1", -5, False),
        ("another-host:1", 1, False),
        ("another-host:1", 61, True),
    ],
)
def test_an_abandoned_apply_is_taken_by_its_own_host_first(order_run, holder, silent, taken):
    run_id = order_run()
    set_run(run_id, status=RunStatus.APPLYING, lease_owner=holder, lease_until=seconds_ago(silent))

    with transaction():
        lease = sweeping.take_abandoned(run_id, HERE)

    assert (lease is not None) is taken


def test_a_worker_that_died_while_applying_leaves_a_record_of_what_exists(platform, approved, run_of, dead):
    run_id = approved()
    folder = workdir.folder_of(platform.app.extensions["settings"].data_dir, run_id, 2)
    folder.module.mkdir(parents=True)
    folder.note_process(4711, "12:00")
    folder.state.write_bytes(state(made={"server": "id-1"}))
    set_run(run_id, status=RunStatus.APPLYING, lease_owner=dead, lease_until=epoch() + 600.0)

    platform.do("runs.sweep")
    platform.work()

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "worker died" in run_of(run_id).error
    assert platform.terraform.stopped == [4711]
    assert platform.terraform.applies == []
    assert count(Resource, Resource.state == "active") == 1
    assert not folder.root.exists()


def test_a_terraform_whose_worker_died_before_it_noted_it_is_stopped_too(platform, approved, run_of, dead):
    run_id = approved()
    data_dir = platform.app.extensions["settings"].data_dir
    folder = workdir.folder_of(data_dir, run_id, 2)
    folder.module.mkdir(parents=True)
    tickets.take(data_dir, tickets.of_plan(run_id, run_of(run_id).approved_digest), "4711 12:00")
    child = subprocess.Popen(["sleep", "60"], cwd=folder.module, start_new_session=True)
    set_run(run_id, status=RunStatus.APPLYING, lease_owner=dead, lease_until=0.0)

    platform.do("runs.settle", run_id=run_id)

    child.kill()
    child.wait()
    assert platform.terraform.stopped == [child.pid]
    assert run_of(run_id).status == RunStatus.ERRORED
    assert count(Workspace, Workspace.quarantined_reason.is_not(None)) == 0


def test_a_journal_without_a_state_shows_what_was_made_as_orphaned(platform, approved, run_of, dead):
    run_id = approved()
    folder = workdir.folder_of(platform.app.extensions["settings"].data_dir, run_id, 2)
    folder.module.mkdir(parents=True)
    said = (
        '{"type": "apply_progress", "hook": {"resource": {"addr": "terraform_data.server"}, "action": "create"}}\n'
        '{"type": "apply_complete", "hook": {"resource": {"addr": "terraform_data.server"},'
        ' "action": "create", "id_key": "id", "id_value": "id-1"}}\n'
    )
    (folder.module / "stdout").write_text(said)
    set_run(run_id, status=RunStatus.APPLYING, lease_owner=dead, lease_until=0.0)

    platform.do("runs.settle", run_id=run_id)

    assert run_of(run_id).status == RunStatus.ERRORED
    assert count(Resource, Resource.state == "orphaned", Resource.provider_id == "id-1") == 1


def test_a_worker_of_another_host_that_left_nothing_here_is_settled_too(platform, approved, run_of):
    run_id = approved()
    set_run(run_id, status=RunStatus.APPLYING, lease_owner="another-host:1", lease_until=0.0)

    platform.do("runs.settle", run_id=run_id)

    assert run_of(run_id).status == RunStatus.ERRORED
    assert count(Resource) == 0


def test_an_apply_under_way_is_not_settled(platform, approved, run_of):
    run_id = approved()
    me = f"{HERE}:{os.getpid()}"
    set_run(run_id, status=RunStatus.APPLYING, lease_owner=me, lease_until=epoch() + 5.0)

    platform.do("runs.settle", run_id=run_id)

    assert run_of(run_id).status == RunStatus.APPLYING


@pytest.mark.parametrize("status", [RunStatus.PLANNED, RunStatus.ERRORED])
def test_a_folder_that_a_dead_worker_left_is_removed_once_nobody_works_on_the_run(platform, order_run, status):
    run_id = order_run()
    folder = left_folder(platform, run_id, fence=1)
    set_run(run_id, status=status, fence=1)

    platform.do("runs.sweep")

    assert not folder.root.exists()


def test_a_folder_of_an_earlier_holder_is_removed_and_that_of_the_present_one_is_not(platform, order_run):
    run_id = order_run()
    earlier, present = left_folder(platform, run_id, fence=1), left_folder(platform, run_id, fence=2)
    set_run(run_id, status=RunStatus.PLANNING, fence=2, lease_owner=owner(), lease_until=epoch() + 5.0)

    platform.do("runs.sweep")

    assert not earlier.root.exists()
    assert present.root.exists()


def test_what_an_apply_left_stays_until_it_is_settled(platform, order_run):
    run_id = order_run()
    folder = left_folder(platform, run_id, fence=1)
    set_run(run_id, status=RunStatus.APPLYING, fence=2, lease_owner=owner(), lease_until=epoch() + 5.0)

    platform.do("runs.sweep")

    assert folder.root.exists()


def test_a_folder_stays_as_long_as_its_terraform_lives(platform, order_run):
    run_id = order_run()
    folder = left_folder(platform, run_id, fence=1)
    folder.note_process(os.getpid(), start_time_of(os.getpid()))
    set_run(run_id, status=RunStatus.ERRORED, fence=2)

    platform.do("runs.sweep")

    assert folder.root.exists()


def left_folder(platform, run_id, *, fence):
    """A folder with the variables of a run in it."""
    folder = workdir.folder_of(platform.app.extensions["settings"].data_dir, run_id, fence)
    folder.module.mkdir(parents=True)
    folder.variables.write_text("{}")
    return folder
