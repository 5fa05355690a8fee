"""A PostgreSQL and a Redis of one's own, so that they can be killed without harm to anybody else."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from opsplatform.adapters.fleet import free_port
from tests.chaos.killing.supervisor import Part

BINARIES = Path("/usr/lib/postgresql")
OWNER = "postgres"  # the server refuses to run as root


class Postgres:
    """A database server in a folder of its own; every commit is on the disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql+psycopg://{OWNER}@127.0.0.1:{self.port}/{OWNER}"
        self._data = folder / "data"
        self._bin = max(BINARIES.glob("*/bin"), key=lambda path: int(path.parent.name))
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, OWNER)
        initdb = [str(self._bin / "initdb"), "-D", str(self._data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*_as_owner(), *initdb, "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL)

    @property
    def part(self) -> Part:
        """How it is started."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._data.parent),
            "max_connections": 150,
            "shared_buffers": "32MB",
            "fsync": "on",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [*_as_owner(), str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *words]
        return Part(command, {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, self._answers)

    def _answers(self) -> bool:
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user=OWNER, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis:
    """A broker that keeps nothing on the disk: whoever kills it loses every message."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        folder.mkdir()

    @property
    def part(self) -> Part:
        """How it is started."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        return Part([*command, "--save", "", "--appendonly", "no"], {"PATH": os.environ["PATH"]}, self._answers)

    def _answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis(port=self.port, socket_timeout=1) as client:
            return bool(client.ping())
        return False


def missing() -> str | None:
    """What this machine lacks for servers of one's own; None when all is there."""
    if not any(BINARIES.glob("*/bin/postgres")):
        return f"no PostgreSQL server is installed in {BINARIES}"
    return None if shutil.which("redis-server") else "no redis-server is installed"


def _as_owner() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--clear-groups"]
