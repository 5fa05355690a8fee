"""The ground all lives stand on: a DingTalk and a cloud that outlive them, a catalogue, and the record to begin with.

Nothing here keeps a thread or a connection in the process that forks the lives.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import Migrate, upgrade
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.orm import configure_mappers

from config import Config
from opsplatform.accounts import service as accounts
from opsplatform.adapters.fleet import free_port
from opsplatform.adapters.registry import Adapters
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.adapters.terraform import Terraform, find_terraform
from opsplatform.app import TASKS, create_app, real_adapters
from opsplatform.catalog import tasks as catalog
from opsplatform.core.db import db, transaction
from opsplatform.core.queue import Queue
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running
from tests.cloud.client import Cloud
from tests.cloud.offers import ENVIRONMENT_SETTING, add_modules, add_templates, write_credentials
from tests.cloud.provider.mirror import make_mirror
from tests.cloud.server import running_cloud
from tests.flows.conftest import EXTRA_MODULES, PASSWORD, dingtalk_settings
from tests.support import ROOT, SECRETS, SERVERS

FORMS = {
    "PROC-SLOW": [{"id": "NumberField-seconds", "label": "秒", "type": "NumberField", "required": True}],
    "PROC-FAILS-IN-PLAN": [{"id": "TextField-name", "label": "名称", "type": "TextField", "required": True}],
}
MODULES = (ROOT / "terraform_modules" / "demo-server", EXTRA_MODULES / "slow", EXTRA_MODULES / "fails-in-plan")
PATIENCE = [0.1] * 600  # how often DingTalk tries again before it gives an event up
QUIET = {"ops_env": "testing", "ops_log_level": "ERROR"}
KEPT = "warm"


class Ground:
    """One installation whose record and files can be put back to what they were before anything happened."""

    def __init__(self, folder: Path, kind: str, dingtalk_url: str, cloud_url: str, port: int) -> None:
        self.folder, self.data = folder, folder / "data"
        self.passages, self.applies = folder / "passages", folder / "applies"
        self.log = folder / "log"
        self.simulator, self.cloud = Simulator(dingtalk_url), Cloud(cloud_url)
        self._kind = kind
        self._blank, self._name = f"ops_points_blank_{os.getpid()}", f"ops_points_{os.getpid()}"
        self.config = Config(
            **QUIET,
            ops_data_dir=self.data,
            database_url=self._url(self._name),
            port=port,
            terraform_modules_dir=folder / "modules",
            terraform_plugin_mirror=make_mirror(folder / "mirror"),
            **SECRETS,
            **dingtalk_settings(dingtalk_url),
        )
        os.environ[ENVIRONMENT_SETTING] = str(write_credentials(folder / "demo.env", cloud_url))
        self._terraform = self._warm_terraform()

    def build(self) -> None:
        """Build the platform, with a Terraform that was looked for already: once, for every life is a fork."""
        dingtalk = real_adapters(self.config).dingtalk
        self._app = create_app(self.config, Adapters(dingtalk=dingtalk, terraform=lambda: self._terraform))

    def app(self) -> Flask:
        """The platform with the queue that is there now."""
        Queue(self._app, TASKS, broker_url="", folder=self.data)
        return self._app

    def prepare(self, *, cold: bool) -> None:
        """Let nothing have happened; with `cold` no module was ever initialised."""
        for path in self.data.iterdir() if self.data.is_dir() else ():
            if path.is_dir() and (cold or path.name != KEPT):
                shutil.rmtree(path)
            elif not path.is_dir():
                path.unlink()
        self.data.mkdir(exist_ok=True)
        self._lay_out_modules()
        self._copy_database()
        for path in (self.passages, self.applies):
            path.unlink(missing_ok=True)
        self._calm_the_outside()

    def make_blank(self) -> None:
        """Make the record to begin with: all tables, an admin, the catalogue as it is."""
        self._lay_out_modules()
        self._on_server(f"CREATE DATABASE {self._blank}")
        url = self._url(self._blank)
        app = create_app(self.config.model_copy(update={"database_url": Config(database_url=url).database_url}))
        Migrate(app, db, directory=str(ROOT / "migrations"))
        with app.app_context():
            upgrade()
            with transaction():
                accounts.create_admin("admin", PASSWORD)
            catalog.read_modules()
            db.session.remove()
            db.engine.dispose()

    def drop(self) -> None:
        """Leave no database behind."""
        for name in (self._name, self._blank):
            self._on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _warm_terraform(self) -> Terraform:
        mirror, sandbox = self.config.terraform_plugin_mirror, Sandbox(self.config.ops_sandbox)
        terraform = Terraform(find_terraform("", self.folder), plugin_mirror=mirror, sandbox=sandbox)
        terraform.version()
        print(f"sandbox: {sandbox.report()[1]}", flush=True)
        return terraform

    def _lay_out_modules(self) -> None:
        modules = self.config.terraform_modules_dir
        shutil.rmtree(modules, ignore_errors=True)
        for source in MODULES:
            shutil.copytree(source, modules / source.name)
        add_modules(modules)

    def _calm_the_outside(self) -> None:
        self.simulator.reset()
        self.simulator.adjust(retry_delays=PATIENCE)
        self.simulator.fault("push.duplicate", count=None)
        add_templates(self.simulator)
        for process_code, fields in FORMS.items():
            self.simulator.add_template(process_code, fields, process_code=process_code)
        self.cloud.clear()
        self.cloud.release()

    def _copy_database(self) -> None:
        if self._kind == "sqlite":
            shutil.copy(self.folder / f"{self._blank}.db", self.folder / "data" / f"{self._name}.db")
            return
        self._on_server(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        self._on_server(f"CREATE DATABASE {self._name} TEMPLATE {self._blank}")

    def _url(self, name: str) -> str:
        if self._kind == "sqlite":
            return f"sqlite:///{self.folder / ('data' if name == self._name else '.') / name}.db"
        return str(make_url(SERVERS[self._kind]).set(database=name).render_as_string(hide_password=False))

    def _on_server(self, statement: str) -> None:
        if self._kind == "sqlite":
            return
        engine = create_engine(SERVERS[self._kind], isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def grounds(folder: Path, kind: str) -> Iterator[Ground]:
    """The ground, with its DingTalk and its cloud in a process of their own, while the block works."""
    configure_mappers()  # once, and not in every life
    port = free_port()
    pid, addresses = _outside(folder, f"http://127.0.0.1:{port}/dingtalk/callback")
    try:
        ground = Ground(folder, kind, addresses["dingtalk"], addresses["cloud"], port)
        try:
            _in_a_fork(ground.make_blank)
            ground.build()
            yield ground
        finally:
            ground.drop()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _outside(folder: Path, callback_url: str) -> tuple[int, dict[str, Any]]:
    """Start DingTalk and cloud; they end when nobody is left who holds the other end of their lifeline."""
    (told, telling), (lifeline, held) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.close(telling)
        os.close(lifeline)
        with os.fdopen(told) as answer:
            return pid, json.loads(answer.readline())
    os.close(held)
    with running(create_simulator(callback_url=callback_url)) as dingtalk, running_cloud(folder / "ledger") as cloud:
        os.write(telling, json.dumps({"dingtalk": dingtalk, "cloud": cloud.url}).encode() + b"\n")
        os.read(lifeline, 1)
    os._exit(0)


def _in_a_fork(work: Any) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(sys.exc_info()[0] is not None)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the record to begin with could not be made"
