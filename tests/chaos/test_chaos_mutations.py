"""An approved run that was changed behind our back is not applied, and says why; `mutations.py` does it in bulk."""

import contextlib
import json
import random

import pytest
from sqlalchemy import select, update

from opsplatform.app import TASKS
from opsplatform.catalog import service as catalog
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import Conflict
from opsplatform.core.leases import LeaseLost
from opsplatform.core.sealing import SealError
from opsplatform.runs import applying, files, service
from opsplatform.runs.models import Run, RunFile, RunStatus
from opsplatform.states import service as states
from opsplatform.states.models import Workspace
from tests.chaos.approved import a_stage
from tests.chaos.mutating import module_kinds
from tests.chaos.mutations import KINDS, Report, check, mutate

A_FEW = 3


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory):
    with a_stage(tmp_path_factory.mktemp("mutations")) as ready:
        yield ready


@pytest.fixture
def stage(shared_stage):
    yield shared_stage
    db.session.remove()
    shared_stage.may_start = False
    for name in {service.get(run_id).module for run_id in shared_stage.runs.values()}:
        shared_stage.reset_module(name)


@pytest.fixture
def nobody_looks(monkeypatch):
    """Whatever proves that a plan is the approved one is switched off."""
    latest = states.latest

    def any_files(run_id):
        rows = db.session.scalars(select(RunFile).where(RunFile.run_id == run_id))
        return {files.VARIABLES: b"{}", **{row.name: readable(row) for row in rows}}

    def readable(row):
        with contextlib.suppress(SealError, ValueError):
            content = files.open_sealed(row.sealed, files._context(row.run_id, row.name))
            return content if row.name != files.VARIABLES or json.loads(content) else b"{}"
        return b"{}"

    def any_state(name):
        with contextlib.suppress(Conflict):
            return latest(name)

    monkeypatch.setattr(applying, "_trouble", lambda _run, _job: None)
    monkeypatch.setattr(catalog, "version_files", lambda _name, _version: [("main.tf", b"")])
    monkeypatch.setattr(files, "fetch_all", any_files)
    monkeypatch.setattr(states, "latest", any_state)


def wait_again(stage, run_id):
    with transaction():
        stage.reset(run_id)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_changed_after_its_approval_is_not_applied_and_says_why(stage, kind):
    report, rng = Report(), random.Random(kind)

    for _ in range(A_FEW):
        run_id = mutate(stage, kind, rng)
        check(stage, kind, run_id, report)
        if kind in module_kinds.KINDS:
            stage.reset_module(service.get(run_id).module)

    assert report.broken == []
    assert (report.counted[kind], report.starts) == (A_FEW, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_would_be_applied_if_nobody_looked(stage, kind, nobody_looks):
    mutate(stage, kind, random.Random(kind))
    before = stage.starts

    with contextlib.suppress(Conflict):  # nothing was started, so a state that is broken cannot be recorded
        stage.work()

    assert stage.starts == before + 1


@pytest.mark.parametrize("name", ["new", "changed", "secret", "cloud"])
def test_a_run_that_nobody_changed_is_applied(stage, name):
    stage.may_start = True
    wait_again(stage, stage.runs[name])

    assert stage.work() == 1
    assert service.get(stage.runs[name]).status == RunStatus.APPLIED


def test_a_plan_is_applied_once_ever_also_when_the_state_was_wiped_behind_our_back(stage):
    run_id = applied(stage)
    wipe_the_state("new")
    assert stage.work() == 0

    set_back(stage, run_id)
    before = stage.starts
    with pytest.raises(LeaseLost):
        stage.work()
    give_up(run_id)

    run = service.get(run_id)
    assert stage.starts == before
    assert run.status == RunStatus.ERRORED
    assert "was applied before" in run.error
    assert states.get("new").quarantined_reason


def test_terraform_itself_would_apply_that_plan_again(stage):
    run_id = applied(stage)
    wipe_the_state("new")
    set_back(stage, run_id)
    stage.forget_tickets()

    assert stage.work() == 1
    assert service.get(run_id).status == RunStatus.APPLIED


def applied(stage):
    stage.may_start = True
    run_id = stage.runs["new"]
    wait_again(stage, run_id)
    assert stage.work() == 1
    assert service.get(run_id).status == RunStatus.APPLIED
    return run_id


def wipe_the_state(workspace):
    with transaction():
        db.session.execute(update(Workspace).where(Workspace.name == workspace).values(lineage=None, serial=None))


def set_back(stage, run_id):
    """Make the whole database say that the run was approved and never applied."""
    with transaction():
        stage.restore_rows(run_id)
    assert files.fetch(run_id, files.PLAN)


def give_up(run_id):
    """What the sweeper does when nobody renews the lease any more."""
    with transaction():
        db.session.execute(update(Run).where(Run.id == run_id).values(lease_until=0.0))
    TASKS["runs.settle"](run_id=run_id)
