"""Two ways to run the whole platform for a story.

`house` is the application in this process, over real HTTP, with a local DingTalk that pushes to it and a worker that
the story runs (`work()`); Terraform is real. `stack` is the same as separate processes, as an operator starts them.
"""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from huey.storage import SqliteStorage
from sqlalchemy import create_engine, text

from config import Config, child_environment
from opsplatform.accounts import service as accounts
from opsplatform.adapters.fleet import Fleet, free_port
from opsplatform.adapters.transport import Client
from opsplatform.app import create_app
from opsplatform.core.db import transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running
from tests.support import KIND, ROOT, SECRETS, SERVERS

PASSWORD = "correct horse battery staple"
SERVER_FORM = {"服务器名称": "web-01", "规格": "small"}
EXTRA_MODULES = Path(__file__).parent / "modules"


def wait_for(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `look` answers as soon as it is something; AssertionError when it stays nothing."""
    until, pause = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        pause.wait(0.02)
    return found


class Api:
    """The platform as a front-end sees it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = Client(address, "opsplatform", timeout=(3, 60))
        self.token = ""

    def answer(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole answer to a call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.call("POST", "/api", json=body, headers=headers, safe=False)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a call."""
        answer = self.answer(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, **params: Any) -> dict[str, Any]:
        """The error a call ends with."""
        answer = self.answer(method, **params)
        assert "error" in answer, answer
        return answer["error"]

    def log_in(self, username: str, password: str = PASSWORD) -> None:
        """Use this user's token from now on."""
        self.token = self.call("user.verify", username=username, password=password)["token"]

    def approval(self, instance_id: str) -> dict[str, Any] | None:
        """The approval with this DingTalk id."""
        found = [a for a in self.call("approval.list", limit=200)["items"] if a["instance_id"] == instance_id]
        return found[0] if found else None

    def run_of(self, instance_id: str) -> dict[str, Any] | None:
        """The newest run of an approval."""
        approval = self.approval(instance_id)
        return self.call("run.get", id=approval["run_ids"][-1]) if approval and approval["run_ids"] else None

    def resources_of(self, instance_id: str) -> list[dict[str, Any]]:
        """What an approval opened."""
        items = self.call("resource.list", limit=200)["items"]
        return [item for item in items if (item["approval"] or {}).get("instance_id") == instance_id]


class House:
    """The application in this process with its DingTalk."""

    def __init__(self, app: Flask, api: Api, simulator: Simulator, modules: Path) -> None:
        self.app, self.api, self.simulator, self.modules = app, api, simulator, modules

    def submit(
        self, values: dict[str, Any] | None = None, *, process_code: str = "PROC-DEMO-SERVER", **more: Any
    ) -> str:
        """Submit a form as 张三; DingTalk's events have arrived when this returns."""
        instance_id = self.simulator.submit(process_code, "zhangsan", SERVER_FORM if values is None else values, **more)
        self.simulator.settle()
        return instance_id

    def agree(self, instance_id: str) -> None:
        """王经理 agrees; the events have arrived when this returns."""
        self.simulator.agree(instance_id)
        self.simulator.settle()

    def work(self) -> None:
        """Run everything that waits in the queue, and what that leads to."""
        huey = self.app.extensions["queue"].huey
        while data := SqliteStorage.dequeue(huey.storage):  # the engine's own, which does not wait
            huey.execute(huey.deserialize_task(data))

    def sweep(self) -> None:
        """Do what the scheduler would have done."""
        for task in ("approvals.sweep", "runs.sweep", "notifications.sweep"):
            with self.app.app_context():
                self.app.extensions["queue"].tasks[task]()
        self.work()

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which services and models can be used."""
        return self.app.app_context()


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A catalogue with the shipped modules and some that misbehave."""
    folder = tmp_path / "modules"
    shutil.copytree(ROOT / "terraform_modules", folder)
    shutil.copytree(EXTRA_MODULES, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture
def house(
    make_config: Callable[..., Config],
    clean_up: Callable[[Flask], Flask],
    modules: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    """The platform in this process."""
    port = free_port()
    dingtalk = create_simulator(callback_url=f"http://127.0.0.1:{port}/dingtalk/callback", retry_delays=(0.05, 0.1))
    with running(dingtalk) as dingtalk_url:
        config = make_config(port=port, terraform_modules_dir=modules, **dingtalk_settings(dingtalk_url))
        app = clean_up(create_app(config))
        with app.app_context(), transaction():
            accounts.create_admin("admin", PASSWORD)
        with running(app, port=port) as address:
            api = Api(address)
            api.log_in("admin")
            simulator = Simulator(dingtalk_url)
            yield House(app, api, simulator, modules)


class Stack:
    """The platform as processes of their own."""

    def __init__(self, fleet: Fleet, api: Api, simulator: Simulator, env: dict[str, str]) -> None:
        self.fleet, self.api, self.simulator, self.env = fleet, api, simulator, env
        self.modules = Path(env["TERRAFORM_MODULES_DIR"])

    def ended(self, instance_id: str) -> dict[str, Any]:
        """The run of an approval, once it has ended."""

        def look() -> dict[str, Any] | None:
            run = self.api.run_of(instance_id)
            return run if run and run["finished_at"] else None

        return wait_for(look, "the run to end")

    def in_status(self, instance_id: str, status: str) -> dict[str, Any]:
        """The run of an approval, once it has this status."""

        def look() -> dict[str, Any] | None:
            run = self.api.run_of(instance_id)
            return run if run and run["status"] == status else None

        return wait_for(look, f"the run to be {status}")


@contextlib.contextmanager
def a_stack(folder: Path, modules: Path, **settings: object) -> Iterator[Stack]:
    """Start simulator, web, worker and scheduler; stop them at the end."""
    web, dingtalk = free_port(), free_port()
    url = f"http://127.0.0.1:{dingtalk}"
    env = child_environment(
        **{
            "ops_env": "testing",
            "ops_data_dir": folder,
            "database_url": database_of(f"ops_flows_{web}"),
            "broker_url": "",
            "ops_log_level": "WARNING",
            "port": web,
            "terraform_modules_dir": modules,
            **SECRETS,
            **dingtalk_settings(url),
            **settings,
        }
    )
    fleet = Fleet(ROOT)
    manage = [sys.executable, "manage.py"]
    make_database(f"ops_flows_{web}")
    try:
        callback = f"http://127.0.0.1:{web}/dingtalk/callback"
        fleet.start("simulator", [*manage, "simulator", "--port", str(dingtalk), "--callback-url", callback], env)
        fleet.call([*manage, "db", "upgrade"], env)
        fleet.call([*manage, "create-admin", "admin", "--password-stdin"], env, given=PASSWORD)
        for name in ("run", "worker", "scheduler"):
            fleet.start(name, [*manage, name], env)
        stack = Stack(fleet, Api(f"http://127.0.0.1:{web}"), Simulator(url), env)
        wait_for(lambda: _answers(stack), "the platform to be ready")
        stack.api.log_in("admin")
        stack.simulator.adjust(retry_delays=[0.2, 0.4])
        yield stack
    finally:
        fleet.stop()
        drop_database(f"ops_flows_{web}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running platform for the stories of a module."""
    folder = tmp_path_factory.mktemp("stack")
    modules = folder / "modules"
    shutil.copytree(ROOT / "terraform_modules", modules)
    shutil.copytree(EXTRA_MODULES, modules, dirs_exist_ok=True)
    with a_stack(folder / "data", modules) as started:
        yield started


def dingtalk_settings(url: str) -> dict[str, Any]:
    """The settings that make an installation talk to the simulator."""
    return {
        "dingtalk_corp_id": seed.CORP_ID,
        "dingtalk_app_key": seed.APP_KEY,
        "dingtalk_app_secret": seed.APP_SECRET,
        "dingtalk_agent_id": str(seed.AGENT_ID),
        "dingtalk_token": seed.CALLBACK_TOKEN,
        "dingtalk_aes_key": seed.CALLBACK_AES_KEY,
        "dingtalk_oapi_url": url,
        "dingtalk_api_url": url,
    }


def _answers(stack: Stack) -> bool:
    stack.fleet.check()
    try:
        stack.api.client.call("GET", "/readyz", safe=False)
        stack.simulator.pushes()
    except UpstreamError:
        return False
    return True


def database_of(name: str) -> str:
    """The address of a database of one's own on the server that is tested; empty for SQLite."""
    return "" if KIND == "sqlite" else str(SERVERS[KIND]).rpartition("/")[0] + f"/{name}"


def drop_database(name: str) -> None:
    """Remove it, whoever is connected."""
    _on_server(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if KIND == 'postgresql' else ''}")


def make_database(name: str) -> None:
    """Make it anew, empty."""
    drop_database(name)
    _on_server(f"CREATE DATABASE {name}")


def _on_server(statement: str) -> None:
    if KIND == "sqlite":
        return
    engine = create_engine(SERVERS[KIND], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
