"""The whole platform as processes, in one of two shapes, with a DingTalk and a cloud that are never killed."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from config import child_environment
from opsplatform.adapters.fleet import free_port
from opsplatform.adapters.transport import Client
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator.client import Simulator
from tests.chaos.killing.records import Records
from tests.chaos.killing.servers import Postgres, Redis
from tests.chaos.killing.supervisor import Part, Supervisor
from tests.cloud.client import Cloud
from tests.cloud.offers import ENVIRONMENT_SETTING, add_modules, add_templates, write_credentials
from tests.cloud.provider.mirror import make_mirror
from tests.cloud.server import running_cloud
from tests.flows.conftest import PASSWORD, Api, dingtalk_settings, wait_for
from tests.support import ROOT, SECRETS

CODE = ("opsplatform", "migrations", "terraform_modules", "config.py", "manage.py", "pyproject.toml")
MANAGE = (sys.executable, "manage.py")
PUSHED_AGAIN = [0.3, 0.7, *[1.5] * 80]  # DingTalk's patience, long enough for any outage here


@dataclass(frozen=True)
class Shape:
    """What runs."""

    title: str
    webs: tuple[str, ...]
    workers: tuple[str, ...]
    own_servers: bool
    threads: int


SHAPES = {
    "embedded": Shape("SQLite + embedded queue", ("web",), ("worker",), own_servers=False, threads=4),
    "servers": Shape(
        "PostgreSQL + Redis, 2 web, 3 workers",
        ("web1", "web2"),
        ("worker1", "worker2", "worker3"),
        own_servers=True,
        threads=2,
    ),
}


@dataclass
class Stack:
    """A running platform, and what is around it."""

    shape: Shape
    folder: Path
    supervisor: Supervisor
    apis: list[Api]
    simulator: Simulator
    cloud: Cloud
    records: Records

    @property
    def data(self) -> Path:
        """The platform's data folder."""
        return self.folder / "data"

    def is_ready(self) -> bool:
        """Whether every process is at work, and every web part says that all it needs is there."""
        self.supervisor.look()
        at_work = all(map(self.supervisor.is_ready, self.supervisor.names()))
        return at_work and all(_says(api, "/readyz") for api in self.apis)

    def unfinished(self) -> dict[str, list[Any]]:
        """What is not at its end yet, by kind, and the working folders that are left."""
        folders = [path.name for path in (self.data / "runs").glob("*")]
        return {**self.records.unfinished(), **({"folders": folders} if folders else {})}


@contextmanager
def a_stack(shape: Shape) -> Iterator[Stack]:
    """Start everything in a fresh folder, from a copy of the code; stop it at the end. The folder is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="ops-kills-"))
    folder.chmod(0o711)
    _copy_code(folder / "code")
    add_modules(folder / "code" / "terraform_modules")
    supervisor = Supervisor(folder / "code", folder / "logs")
    with running_cloud(folder / "ledger.jsonl") as cloud:
        try:
            yield _started(shape, folder, supervisor, Cloud(cloud.url))
        finally:
            supervisor.stop()


def _started(shape: Shape, folder: Path, supervisor: Supervisor, cloud: Cloud) -> Stack:
    addresses = _start_servers(shape, folder, supervisor)
    ports, dingtalk = [free_port() for _ in shape.webs], free_port()
    url = f"http://127.0.0.1:{dingtalk}"
    env = {**_environment(shape, folder, url, cloud.url), **addresses}
    callback = f"http://127.0.0.1:{ports[0]}/dingtalk/callback"
    simulator = [*MANAGE, "simulator", "--port", str(dingtalk), "--callback-url", callback]
    supervisor.start("simulator", Part(simulator, {**env, "PORT": str(ports[0])}))
    supervisor.fleet.call([*MANAGE, "db", "upgrade"], env)
    supervisor.fleet.call([*MANAGE, "create-admin", "admin", "--password-stdin"], env, given=PASSWORD)
    apis = [Api(f"http://127.0.0.1:{port}") for port in ports]
    for name, port, api in zip(shape.webs, ports, apis, strict=True):
        supervisor.start(name, Part([*MANAGE, "run"], {**env, "PORT": str(port)}, partial(_says, api, "/healthz")))
    for name in (*shape.workers, "scheduler"):
        supervisor.start(name, Part([*MANAGE, name.rstrip("123")], {**env, "PORT": str(ports[0])}))
    database = addresses.get("DATABASE_URL") or f"sqlite:///{folder / 'data' / 'opsplatform.db'}"
    stack = Stack(shape, folder, supervisor, apis, Simulator(url), cloud, Records(database))
    wait_for(stack.is_ready, "the platform to be ready")
    for api in apis:
        api.log_in("admin")
    stack.simulator.adjust(retry_delays=PUSHED_AGAIN)
    add_templates(stack.simulator)
    return stack


def _start_servers(shape: Shape, folder: Path, supervisor: Supervisor) -> dict[str, str]:
    if not shape.own_servers:
        return {}
    database, broker = Postgres(folder / "postgres"), Redis(folder / "redis")
    supervisor.start("database", database.part)
    supervisor.start("redis", broker.part)
    for name in ("database", "redis"):
        wait_for(lambda name=name: supervisor.is_ready(name), f"the {name}")
    return {"DATABASE_URL": database.url, "BROKER_URL": broker.url}


def _environment(shape: Shape, folder: Path, dingtalk: str, cloud: str) -> dict[str, str]:
    credentials = write_credentials(folder / "demo.env", cloud)
    return child_environment(
        ops_env="testing",
        ops_data_dir=folder / "data",
        database_url="",
        broker_url="",
        ops_log_level="WARNING",
        ops_worker_threads=shape.threads,
        terraform_modules_dir=folder / "code" / "terraform_modules",
        terraform_plugin_mirror=make_mirror(folder / "mirror"),
        **{ENVIRONMENT_SETTING: credentials},
        **SECRETS,
        **dingtalk_settings(dingtalk),
    )


def _copy_code(folder: Path) -> None:
    """Processes start again and again: they are to find the same code each time, whatever is edited meanwhile."""
    folder.mkdir()
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)


def _says(api: Api, path: str) -> bool:
    """Whether it answers this question about its health with a yes, and soon."""
    try:
        Client(api.address, "opsplatform", timeout=(0.5, 1), retries=0).call("GET", path, safe=False)
    except UpstreamError:
        return False
    return True


def processes_of(folder: Path) -> dict[int, str]:
    """Every process that works in a folder or has it in its environment, but for this one; id and command."""
    found, needle = {}, str(folder).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            inside = (entry / "cwd").readlink().is_relative_to(folder) or needle in (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if inside and command:
            found[int(entry.name)] = command.strip()
    return found
