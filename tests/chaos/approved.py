"""Runs that were planned by the real Terraform and approved, to be tampered with, and the way back to how they were.

`work` does what a worker does. Every start of a Terraform that applies is counted where the product starts processes;
`may_start` lets it start, otherwise it is counted and goes no further.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flask import Flask
from flask_migrate import Migrate, upgrade
from sqlalchemy import select, update

from config import Config
from opsplatform.adapters import process
from opsplatform.adapters.process import Job
from opsplatform.app import TASKS, create_app
from opsplatform.catalog import service as catalog
from opsplatform.core.db import db, reading, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.runs import files, planning, service
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.runs.service import Applicant
from tests.cloud.offers import ENVIRONMENT_SETTING, add_modules, write_credentials
from tests.cloud.provider.mirror import make_mirror
from tests.cloud.server import running_cloud
from tests.flows.conftest import EXTRA_MODULES, database_of, drop_database, make_database
from tests.support import ROOT, SECRETS

SHIPPED, SECRET, CLOUD = "demo-server", "secret", "cloud-server"


class Stage:
    """Approved runs of one platform, by what is special about them."""

    def __init__(self, app: Flask, modules: Path) -> None:
        self.app, self.modules = app, modules
        self.runs: dict[str, int] = {}
        self.older_plan = b""  # of the run `new`, made before the one that was approved
        self.starts = 0
        self.may_start = False
        self._rows: list[tuple[Any, list[dict[str, Any]]]] = []
        self._pristine = modules.parent / "pristine"

    def plan(self, module: str, workspace: str, **inputs: Any) -> int:
        """Order a run and plan it; answers its id."""
        order = catalog.order_for(module, inputs)
        origin = f"test:{workspace}:{inputs}"
        with transaction():
            run_id = service.queue_run(order, Applicant("zhangsan", "张三"), origin=origin, workspace=workspace).id
        self.work()
        return run_id

    def agree(self, run_id: int) -> None:
        """Agree to the plan that stands."""
        with transaction():
            run = service.get(run_id)
            assert run.status == RunStatus.PLANNED, (run.status, run.error)
            service.decide(run, approved=True, approvers=[{"userid": "manager1", "name": "王经理"}])

    def work(self) -> int:
        """Let a worker do the step whose turn it is; answers how many Terraforms were started to apply something."""
        before = self.starts
        TASKS["runs.work"]()
        return self.starts - before

    def story(self, run_id: int) -> tuple[str, list[tuple[str, str]]]:
        """The status of a run, and its timeline since the snapshot, as status and note."""
        with reading():
            known = next(len(rows) for table, rows in self._rows if table.name == RunStep.__tablename__)
            steps = db.session.scalars(select(RunStep).order_by(RunStep.id).offset(known)).all()
            found = [(step.status, step.note or "") for step in steps if step.run_id == run_id]
            return db.session.get_one(Run, run_id).status, found

    def snapshot(self) -> None:
        """Remember every row and every file of the modules."""
        with reading():
            self._rows = [
                (table, [dict(row) for row in db.session.execute(table.select()).mappings()])
                for table in db.metadata.sorted_tables
            ]
        shutil.rmtree(self._pristine, ignore_errors=True)
        shutil.copytree(self.modules, self._pristine)

    def reset(self, run_id: int) -> None:
        """Inside a transaction: all as it was at the snapshot; of all runs only this one waits for its apply."""
        self.restore_rows(run_id)
        self.forget_tickets()

    def restore_rows(self, run_id: int) -> None:
        """Inside a transaction: the database as it was, and nothing in the queue."""
        for table, _ in reversed(self._rows):
            db.session.execute(table.delete())
        for table, rows in self._rows:
            if rows:
                db.session.execute(table.insert(), rows)
        others = update(Run).where(Run.status == RunStatus.APPLY_QUEUED, Run.id != run_id)
        db.session.execute(others.values(status=RunStatus.PLANNED).execution_options(synchronize_session=False))
        db.session.expire_all()
        self.app.extensions["queue"].huey.storage.flush_queue()

    def forget_tickets(self) -> None:
        """Let this host not know any more which plans it applied."""
        shutil.rmtree(self.app.extensions["settings"].data_dir / "tickets", ignore_errors=True)

    def reset_module(self, name: str) -> None:
        """Make a module's folder as it was at the snapshot."""
        shutil.rmtree(self.modules / name, ignore_errors=True)
        shutil.copytree(self._pristine / name, self.modules / name)

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count at the very place where processes are started."""
        start = process._start

        def counted(job: Job, out: int, err: int) -> Any:
            if "apply" in job.command:
                self.starts += 1
                if not self.may_start:
                    raise UpstreamError("terraform", "counted, and not started")
            return start(job, out, err)

        with patch.object(process, "_start", counted):
            yield


@contextlib.contextmanager
def a_stage(folder: Path) -> Iterator[Stage]:
    """A platform of its own with everything ready; the database is of the kind that OPS_TEST_DATABASE names."""
    name = f"ops_mutations_{os.getpid()}"
    make_database(name)
    modules = folder / "modules"
    shutil.copytree(ROOT / "terraform_modules", modules)
    shutil.copytree(EXTRA_MODULES, modules, dirs_exist_ok=True)
    add_modules(modules)
    with running_cloud(folder / "ledger.jsonl") as cloud:
        credentials = write_credentials(folder / "demo.env", cloud.url)
        config = Config(
            ops_env="testing",
            ops_data_dir=folder / "data",
            database_url=database_of(name),
            terraform_modules_dir=modules,
            terraform_plugin_mirror=make_mirror(folder / "mirror"),
            ops_log_level="ERROR",
            **SECRETS,
        )
        app = create_app(config)
        Migrate(app, db, directory=str(ROOT / "migrations"))
        stage = Stage(app, modules)
        environment = patch.dict(os.environ, {ENVIRONMENT_SETTING: str(credentials)})
        with environment, quiet(), app.app_context(), stage.counting():
            upgrade()
            _prepare(stage)
            yield stage
            db.session.remove()
            db.engine.dispose()
    drop_database(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be logged: the platform complains of what is done to it, at length."""
    ours = logging.getLogger("opsplatform")
    before = ours.level
    ours.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ours.setLevel(before)


def _prepare(stage: Stage) -> None:
    """Approve runs of every kind; each has its own workspace, so that all can wait for their apply at once."""
    stage.may_start = True
    for size in ("small", "medium"):  # two states, so that there is an older one
        stage.agree(stage.plan(SHIPPED, "changed", name="web-03", size=size))
        stage.work()
    stage.may_start = False
    stage.runs = {
        "twin": stage.plan(SHIPPED, "twin", name="web-02", size="large"),
        "changed": stage.plan(SHIPPED, "changed", name="web-03", size="large"),
        "secret": stage.plan(SECRET, "secret", name="db", password="correct horse"),
        "cloud": stage.plan(CLOUD, "cloud", name="vm", password="battery staple"),
        "new": stage.plan(SHIPPED, "new", name="web-01", size="small"),
    }
    stage.older_plan = _plan_anew(stage, stage.runs["new"])
    for name in ("twin", "changed", "secret", "cloud"):
        stage.agree(stage.runs[name])
    stage.snapshot()
    for run_id in stage.runs.values():
        assert service.get(run_id).status == RunStatus.APPLY_QUEUED
    db.session.rollback()


def _plan_anew(stage: Stage, run_id: int) -> bytes:
    """Plan an agreed run once more, as when something was changed; answers the plan that was agreed to first."""
    first = files.fetch(run_id, files.PLAN) or b""
    stage.agree(run_id)
    with transaction():
        planning.again(service.get(run_id), "planned once more")
    stage.work()
    return first
