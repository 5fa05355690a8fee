"""Working miniatures of DingTalk and Terraform, and the whole application standing on them."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from flask import Flask
from huey.storage import SqliteStorage
from sqlalchemy import func, select

from config import Config
from opsplatform.adapters.dingtalk_crypto import Event, normalise
from opsplatform.adapters.dingtalk_values import Instance, Person, read_instance
from opsplatform.adapters.process import LogLine
from opsplatform.adapters.registry import Adapters
from opsplatform.adapters.terraform import Finished
from opsplatform.adapters.terraform_events import parse
from opsplatform.app import create_app
from opsplatform.core.db import db, now
from opsplatform.core.errors import UpstreamError

APPROVAL = "PI-1"
CORP = "dingcorp"
TEMPLATE = "PROC-DEMO-SERVER"
FORM = (("TextField-name", "服务器名称", "web-01"), ("DDSelectField-size", "规格", "small"))


class DingTalkMiniature:
    """Approvals and people in memory; `errors` holds the error with which a call ends, by its name."""

    def __init__(self) -> None:
        self.approvals: dict[str, dict[str, Any]] = {}
        self.people = {"zhangsan": "张三", "manager1": "王经理"}
        self.comments: list[tuple[str, str, str]] = []
        self.notices: list[tuple[str, str, str]] = []
        self.errors: dict[str, UpstreamError] = {}
        self.asked: list[str] = []

    def submit(
        self, instance_id: str = APPROVAL, *, form: tuple[tuple[str, str, str], ...] = FORM, **more: Any
    ) -> None:
        """An employee fills in a form."""
        values = [{"id": i, "name": n, "value": v, "componentType": "TextField"} for i, n, v in form]
        self.approvals[instance_id] = {
            "title": "张三提交的申请服务器",
            "businessId": "202601020304",
            "status": "RUNNING",
            "originatorUserId": "zhangsan",
            "createTime": "2026-01-02T03:04Z",
            "formComponentValues": values,
            "tasks": [{"taskId": 1, "userId": "manager1", "status": "RUNNING"}],
            **more,
        }

    def end(self, instance_id: str = APPROVAL, *, result: str = "agree", status: str = "COMPLETED") -> None:
        """The approver decides, or the approval ends in another way."""
        operation = {"userId": "manager1", "date": "2026-01-02T04:00Z", "result": result.upper()}
        self.approvals[instance_id] |= {
            "status": status,
            "result": result if status == "COMPLETED" else "",
            "finishTime": "2026-01-02T04:00Z",
            "operationRecords": [operation] if status == "COMPLETED" else [],
            "tasks": [],
        }

    def get_instance(self, instance_id: str) -> Instance:
        """An approval as it stands now."""
        self._may_fail("get_instance")
        if instance_id not in self.approvals:
            raise UpstreamError("dingtalk", "no such approval", upstream_code="processInstanceNotExist")
        return read_instance(instance_id, self.approvals[instance_id])

    def get_user(self, userid: str) -> Person:
        """An employee."""
        self._may_fail("get_user")
        return Person(userid, self.people[userid], None, active=True)

    def comment(self, instance_id: str, text: str, userid: str) -> None:
        """Write under an approval."""
        self._may_fail("comment")
        self.comments.append((instance_id, userid, text))

    def notify(self, userid: str, title: str, markdown: str) -> str:
        """Send a work notification."""
        self._may_fail("notify")
        self.notices.append((userid, title, markdown))
        return "1"

    def check(self) -> None:
        """Whether it answers."""
        self._may_fail("check")

    def _may_fail(self, call: str) -> None:
        self.asked.append(call)
        if call in self.errors:
            raise self.errors[call]


class TerraformMiniature:
    """Plans one `terraform_data` per run and applies it; keeps the state in the folder, as the local backend does."""

    binary = Path("/nowhere/terraform")

    def __init__(self) -> None:
        self.inits: list[Path] = []
        self.applies: list[Path] = []
        self.stopped: list[int] = []
        self.plans = 0
        self.size = 1
        self.error = ""
        self.canceled = False
        self.before_work: Callable[[], None] = lambda: None

    def version(self) -> str:
        """Its version."""
        return "1.9.9"

    def environment(self, folder: Path, *, data_dir: Path | None, extra: dict[str, str]) -> dict[str, str]:
        """What a run sees."""
        return {**extra, "HOME": str(folder)}

    def init(self, folder: Path, *, env: dict[str, str], timeout: float) -> Finished:
        """Prepare a folder."""
        self.inits.append(folder)
        if self.error.startswith("init"):
            return Finished(1, succeeded=False, first_error=self.error)
        (folder / ".terraform.lock.hcl").write_bytes(b"# hashes\n")
        return Finished(0, succeeded=True)

    def plan(self, folder: Path, *, var_file: Path, out: Path, watch: Any, destroy: bool, **_rest: Any) -> Finished:
        """Save a plan."""
        self._start(watch)
        if self.error.startswith("plan"):
            return Finished(1, succeeded=False, canceled=self.canceled, first_error=self.error)
        self.plans += 1  # no two plans are the same file: the real ones hold their time
        out.write_bytes(b"plan of %b, number %d" % (var_file.read_bytes(), self.plans))
        for address in self._addresses():
            self._say(watch, type="planned_change", change={"resource": {"addr": address}, "action": "create"})
        return Finished(2, succeeded=True)

    def show_plan(self, folder: Path, plan: Path, **_rest: Any) -> dict[str, Any]:
        """The plan as JSON."""
        return plan_json(*((address, ["create"]) for address in self._addresses()))

    def apply(self, folder: Path, plan: Path, *, watch: Any, **_rest: Any) -> Finished:
        """Make what was planned."""
        self.applies.append(folder)
        self._start(watch)
        resource = {"addr": "terraform_data.server"}
        hook = {"resource": resource, "action": "create", "id_key": "id", "id_value": "id-1"}
        self._say(watch, type="apply_complete", hook=hook)
        if not self.error.startswith("apply without state"):
            (folder / "terraform.tfstate").write_bytes(state(made={"server": "id-1"}))
        if self.error or self.canceled:
            return Finished(1, succeeded=False, canceled=self.canceled, first_error=self.error)
        return Finished(0, succeeded=True)

    def stop_process(self, pid: int, start_time: str, *, grace: float) -> bool:
        """Stop what a dead worker left."""
        self.stopped.append(pid)
        return True

    def _addresses(self) -> list[str]:
        return (
            ["terraform_data.server"] if self.size == 1 else [f"terraform_data.server[{n}]" for n in range(self.size)]
        )

    def _start(self, watch: Any) -> None:
        watch.started(4711, "12:00")
        self.before_work()
        if self.error.startswith("broken"):
            raise UpstreamError("terraform", self.error)
        if self.error.startswith("disk"):
            raise OSError(28, "No space left on device")

    def _say(self, watch: Any, **message: Any) -> None:
        text = json.dumps(message)
        watch.lines([LogLine(at=now(), stream="stdout", text=text, message=parse(text))])


def plan_json(*changes: tuple[str, list[str]], outputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """A plan as `terraform show -json` describes it."""
    return {
        "resource_changes": [
            {
                "address": address,
                "type": address.split(".")[0],
                "name": address.split(".")[1],
                "provider_name": "terraform.io/builtin/terraform",
                "change": {"actions": actions},
            }
            for address, actions in changes
        ],
        "output_changes": outputs or {},
    }


def state(*, made: dict[str, str], serial: int = 1, lineage: str = "one", **outputs: Any) -> bytes:
    """A state with a `terraform_data` for each name, with its id."""
    resources = [
        {
            "mode": "managed",
            "type": "terraform_data",
            "name": name,
            "provider": 'provider["terraform.io/builtin/terraform"]',
            "instances": [{"attributes": {"id": provider_id}}],
        }
        for name, provider_id in made.items()
    ]
    text = {"version": 4, "serial": serial, "lineage": lineage, "resources": resources, "outputs": outputs}
    return json.dumps(text).encode()


def an_event(kind: str, instance_id: str = APPROVAL, **more: Any) -> Event:
    """An event as DingTalk pushes it."""
    fields = {
        "EventType": "bpms_instance_change",
        "CorpId": CORP,
        "processInstanceId": instance_id,
        "processCode": TEMPLATE,
        "type": kind,
        "title": "张三提交的申请服务器",
        "staffId": "zhangsan",
        "createTime": 1767323040000,
        **more,
    }
    return normalise(json.dumps({name: value for name, value in fields.items() if value is not None}))


class Platform:
    """The application on miniatures, and a worker that the test runs."""

    def __init__(self, app: Flask, dingtalk: DingTalkMiniature, terraform: TerraformMiniature) -> None:
        self.app, self.dingtalk, self.terraform = app, dingtalk, terraform

    @property
    def queue(self) -> Any:
        """The queue of the application."""
        return self.app.extensions["queue"]

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which services and models can be used."""
        return self.app.app_context()

    def do(self, task: str, **values: Any) -> None:
        """Do one task as a worker would, errors included."""
        with self.app.app_context():
            self.queue.tasks[task](**values)

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """Take everything that waits in the queue out of it: task and values."""
        found = []
        while data := SqliteStorage.dequeue(self.queue.huey.storage):  # the engine's own, which does not wait
            found.append(self.queue.huey.deserialize_task(data).args[:2])
        return [(task, values) for task, values in found]

    def work(self, *, without: tuple[str, ...] = ()) -> None:
        """Do everything that waits, and what that leads to; messages of tasks named in `without` get lost."""
        while messages := self.waiting():
            for task, values in messages:
                if task not in without:
                    self.do(task, **values)


def a_platform(config: Config) -> Platform:
    """The application with these settings on fresh miniatures, without `/api`: its schemas take longer than a test."""
    dingtalk, terraform = DingTalkMiniature(), TerraformMiniature()
    adapters = Adapters(dingtalk=dingtalk, terraform=lambda: terraform)  # type: ignore[arg-type]
    with patch("opsplatform.app.METHODS", ()):
        return Platform(create_app(config, adapters), dingtalk, terraform)


@pytest.fixture
def platform(make_config: Callable[..., Config], clean_up: Callable[[Flask], Flask]) -> Iterator[Platform]:
    """The application on miniatures, with a context open for the length of the test."""
    built = a_platform(make_config(dingtalk_corp_id=CORP))
    clean_up(built.app)
    with built.context():
        yield built


def count(model: type[Any], *conditions: Any) -> int:
    """How many rows there are."""
    found = db.session.scalar(select(func.count()).select_from(model).where(*conditions))
    db.session.rollback()
    return int(found or 0)


def rows(model: type[Any], *conditions: Any) -> list[Any]:
    """The rows as they are now, oldest first."""
    db.session.rollback()
    return list(db.session.scalars(select(model).where(*conditions).order_by(model.id)))
