"""`make demo`: the main job once, on the embedded default: form, plan, agreement, resource, record."""

import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from config import child_environment
from opsplatform.adapters.fleet import NOWHERE, Fleet, free_port, stopped_by_signal
from opsplatform.adapters.transport import Client
from opsplatform.core.errors import OpsError, UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator

ROOT = Path(__file__).parent.parent
ADMIN = "admin"
PATIENCE = 60.0
FORM = {"服务器名称": "web-01", "规格": "small", "标签": [{"键": "team", "值": "ops"}]}
COLUMNS = ("id", "address", "applicant", "approvers", "approval", "created_at", "state")


@dataclass
class Demo:
    """A running platform with a local DingTalk beside it."""

    fleet: Fleet
    api: Client
    simulator: Simulator
    address: str
    password: str
    token: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 - any result
        """Call a method of the platform as the demo's admin."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = self.api.call("POST", "/api", json=body, headers=headers, safe=False)
        if "error" in answer:
            raise UpstreamError("opsplatform", f"{method}: {answer['error']['message']}")
        return answer["result"]

    @contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        """Say what is done, and how long it took."""
        click.echo(f"→ {sentence} … ", nl=False)
        begun = time.monotonic()
        yield
        self.seconds[sentence] = time.monotonic() - begun
        click.echo(f"{self.seconds[sentence]:.2f} s")


def run(*, keep: bool, port: int | None = None) -> None:
    """Play the story and print who opened what, when; with `keep` go on serving until Ctrl-C."""
    begun = time.monotonic()
    demo = _prepare(port)
    try:
        with demo.step("starting the platform and a local DingTalk"):
            _wait(lambda: _ready(demo))
            demo.token = demo.call("user.verify", username=ADMIN, password=demo.password)["token"]
        _story(demo)
        click.echo(f"\ndone in {time.monotonic() - begun:.1f} s")
        if keep:
            _serve_on(demo)
    finally:
        demo.fleet.stop()


def _prepare(port: int | None) -> Demo:
    """A fresh data folder with database and admin, and every process started."""
    folder = ROOT / "instance" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    web, dingtalk = port or free_port(), free_port()
    simulator = f"http://127.0.0.1:{dingtalk}"
    env = child_environment(
        ops_env="development",
        ops_data_dir=folder,
        database_url="",
        broker_url="",
        ops_log_level="WARNING",
        host="127.0.0.1",
        port=web,
        public_url="",
        dingtalk_corp_id=seed.CORP_ID,
        dingtalk_app_key=seed.APP_KEY,
        dingtalk_app_secret=seed.APP_SECRET,
        dingtalk_agent_id=seed.AGENT_ID,
        dingtalk_token=seed.CALLBACK_TOKEN,
        dingtalk_aes_key=seed.CALLBACK_AES_KEY,
        dingtalk_oapi_url=simulator,
        dingtalk_api_url=simulator,
    )
    password = secrets.token_urlsafe(12)
    fleet = Fleet(ROOT, stdout=NOWHERE)
    manage = [sys.executable, "manage.py"]
    callback = f"http://127.0.0.1:{web}/dingtalk/callback"
    fleet.start("simulator", [*manage, "simulator", "--port", str(dingtalk), "--callback-url", callback], env)
    fleet.call([*manage, "db", "upgrade"], env)
    fleet.call([*manage, "create-admin", ADMIN, "--password-stdin"], env, given=password)
    fleet.start("platform", [*manage, "serve"], env)
    address = f"http://127.0.0.1:{web}"
    return Demo(fleet, Client(address, "opsplatform"), Simulator(simulator), address, password)


def _story(demo: Demo) -> None:
    with demo.step("张三 submits the approval form 申请服务器 in DingTalk"):
        instance_id = demo.simulator.submit("PROC-DEMO-SERVER", "zhangsan", FORM)
    with demo.step("the platform plans it and comments on the approval"):
        comment = _wait(lambda: next(iter(demo.simulator.comments(instance_id)), None))
    click.echo("\n  what 王经理 sees before deciding:\n")
    click.echo("".join(f"    │ {line}\n" for line in comment.splitlines()))
    with demo.step("王经理 agrees; exactly that plan is applied"):
        demo.simulator.agree(instance_id)
        ended = _wait(lambda: _ended_run(demo))
    if ended["status"] != "applied":
        raise UpstreamError("terraform", f"the run ended {ended['status']}: {ended['error']}")
    with demo.step("张三 is told by a work notification"):
        _wait(demo.simulator.notifications)
    click.echo("\n  who opened what, when:\n")
    _print_table([_row(item) for item in demo.call("resource.list")["items"]])


def _ended_run(demo: Demo) -> dict[str, Any] | None:
    """The only run there is, once it has ended."""
    runs: list[dict[str, Any]] = demo.call("run.list", limit=1)["items"]
    return runs[0] if runs and runs[0]["finished_at"] else None


def _ready(demo: Demo) -> bool:
    """Whether the platform and the simulator answer; a process that ended early ends the demo."""
    demo.fleet.check()
    try:
        demo.api.call("GET", "/readyz", safe=False)
        demo.simulator.pushes()
    except UpstreamError:
        return False
    return True


def _wait(look: Callable[[], Any]) -> Any:  # noqa: ANN401 - what was looked for
    """What `look` answers as soon as it is something."""
    pause, until = threading.Event(), time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > until:
            raise OpsError(f"The demo waited {PATIENCE:.0f} s in vain; see the messages above.")
        pause.wait(0.02)
    return found


def _row(item: dict[str, Any]) -> dict[str, str]:
    approvers = ", ".join(each["name"] for each in item["approvers"])
    approval = item["approval"] or {}
    return {
        **{name: str(item[name]) for name in ("id", "address", "created_at", "state")},
        "applicant": item["applicant"]["name"],
        "approvers": approvers,
        "approval": f"{approval.get('business_id')} {approval.get('title')}",
    }


def _print_table(rows: list[dict[str, str]]) -> None:
    table = [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]
    widths = {name: max(_width(row[name]) for row in table) for name in COLUMNS}
    for row in table:
        click.echo(
            "    " + "  ".join(row[name] + " " * (widths[name] - _width(row[name])) for name in COLUMNS).rstrip()
        )


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)  # noqa: PLR2004 - where the wide blocks begin


def _serve_on(demo: Demo) -> None:
    click.echo(f"\nthe platform:       {demo.address}   (login: {ADMIN} / {demo.password})")
    click.echo(f"methods to try:     {demo.address}/api/browse")
    click.echo(f"the local DingTalk: {demo.simulator.base_url}")
    click.echo("Ctrl-C stops both")
    demo.fleet.watch(stopped_by_signal())
