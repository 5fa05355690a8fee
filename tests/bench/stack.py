"""The platform on its embedded default as an operator starts it, `manage.py serve`, with a local DingTalk beside it."""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from config import child_environment
from opsplatform.adapters.fleet import Fleet, free_port
from opsplatform.adapters.transport import Client
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform_modules" / "demo-server"
MANAGE = (sys.executable, "manage.py")
PROCESS_CODE = "PROC-DEMO-SERVER"
FORM = {"服务器名称": "web-01", "规格": "small"}
VARIABLES = {"name": "web-01", "size": "small", "tags": {}}
RUN = "FROM run JOIN approval ON approval.id = run.approval_id WHERE approval.instance_id = ?"


class Ledger:
    """The platform's SQLite file, only read: it shows what is committed and disturbs no process."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self.close = self._connection.close

    def value(self, question: str, *values: object) -> Any:
        """The first value of the first row, or None."""
        row = self._connection.execute(question, values).fetchone()
        return row and row[0]

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row."""
        return self._connection.execute(question, values).fetchall()

    def wait(self, wanted: object, question: str, *values: object) -> None:
        """Look every 2 ms until the value is the wanted one."""
        wait_for(lambda: self.value(question, *values) == wanted, f"{wanted!r} as the answer of: {question}")


class Stack:
    """A running platform."""

    def __init__(self, fleet: Fleet, simulator: Simulator, ledger: Ledger, address: str) -> None:
        self.fleet, self.simulator, self.ledger, self.address = fleet, simulator, ledger, address

    def planned(self) -> str:
        """Submit a form and wait until its plan stands under the approval and everybody is idle again."""
        instance_id = self.simulator.submit(PROCESS_CODE, "zhangsan", FORM)
        self.ledger.wait("planned", f"SELECT run.status {RUN}", instance_id)
        self.settle()
        return instance_id

    def agree(self, instance_id: str) -> float:
        """Agree; the seconds from the press of the button until the run is committed as applied."""
        begun = time.perf_counter()
        self.simulator.agree(instance_id)
        self.ledger.wait("applied", f"SELECT run.status {RUN}", instance_id)
        return time.perf_counter() - begun

    def settle(self) -> None:
        """Wait until every notice is sent."""
        self.ledger.wait(0, "SELECT count(*) FROM notice WHERE status = 'waiting'")


@contextmanager
def a_stack() -> Iterator[Stack]:
    """Start everything in a fresh folder; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="ops-bench-") as name:
        folder, web, dingtalk = Path(name), free_port(), free_port()
        env = settings(folder, web=web, dingtalk=dingtalk)
        fleet, address = Fleet(ROOT), f"http://127.0.0.1:{web}"
        callback = f"{address}/dingtalk/callback"
        try:
            fleet.start("simulator", [*MANAGE, "simulator", "--port", str(dingtalk), "--callback-url", callback], env)
            fleet.call([*MANAGE, "db", "upgrade"], env)
            fleet.start("platform", [*MANAGE, "serve"], env)
            simulator = Simulator(f"http://127.0.0.1:{dingtalk}")
            wait_for(lambda: answers(fleet, address) and _sends(simulator), "the platform to be ready")
            with closing(Ledger(folder / "opsplatform.db")) as ledger:
                yield Stack(fleet, simulator, ledger, address)
        finally:
            fleet.stop()


def settings(folder: Path, *, web: int, dingtalk: int) -> dict[str, str]:
    """The environment of an installation on the embedded default whose DingTalk is the local one."""
    url = f"http://127.0.0.1:{dingtalk}"
    return child_environment(
        ops_env="testing",
        ops_data_dir=folder,
        database_url="",
        broker_url="",
        ops_log_level="WARNING",
        host="127.0.0.1",
        port=web,
        public_url="",
        terraform_modules_dir=ROOT / "terraform_modules",
        dingtalk_corp_id=seed.CORP_ID,
        dingtalk_app_key=seed.APP_KEY,
        dingtalk_app_secret=seed.APP_SECRET,
        dingtalk_agent_id=seed.AGENT_ID,
        dingtalk_token=seed.CALLBACK_TOKEN,
        dingtalk_aes_key=seed.CALLBACK_AES_KEY,
        dingtalk_oapi_url=url,
        dingtalk_api_url=url,
    )


def answers(fleet: Fleet, address: str) -> bool:
    """Whether the platform says that it is ready; UpstreamError when a process of it has ended."""
    fleet.check()
    try:
        Client(address, "opsplatform", timeout=(1, 5), retries=0).call("GET", "/readyz", safe=False)
    except UpstreamError:
        return False
    return True


def wait_for(look: Callable[[], object], what: str, *, seconds: float = 60, pause: float = 0.002) -> None:
    """Look until it is true; RuntimeError when it takes too long."""
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(pause)


def _sends(simulator: Simulator) -> bool:
    try:
        simulator.pushes()
    except UpstreamError:
        return False
    return True
