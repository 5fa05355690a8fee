"""Everything the local DingTalk remembers: people, forms, approvals, notifications and the clock; in memory only."""

import datetime as dt
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flask import current_app

CHINA = dt.timezone(dt.timedelta(hours=8))
FIRST_TASK_ID = 72_062_030_325  # larger than 2^31, as the real ones
LONGEST_TEXT = 1024
Action = Literal["AND", "OR", "NONE"]


class Refused(Exception):
    """DingTalk says no; `code` is its word in the current family of interfaces."""

    def __init__(self, code: str, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


@dataclass
class User:
    """An employee."""

    userid: str
    name: str
    unionid: str = ""
    dept_ids: list[int] = field(default_factory=lambda: [1])
    active: bool = True


@dataclass
class Component:
    """One field of a form."""

    id: str
    label: str
    type: str
    required: bool = False
    options: list[str] = field(default_factory=list)
    children: list["Component"] = field(default_factory=list)
    biz_alias: str = ""


@dataclass
class Node:
    """One step of a flow: all of its people decide, or any one of them."""

    userids: list[str]
    action: Action = "AND"


@dataclass
class Template:
    """A form and who approves it."""

    process_code: str
    name: str
    components: list[Component]
    flow: list[Node] = field(default_factory=lambda: [Node(["manager1"])])
    enabled: bool = True
    can_withdraw: bool = True


@dataclass
class Task:
    """One person's turn to decide."""

    task_id: int
    userid: str
    created: int
    status: str = "RUNNING"
    result: str = ""
    finished: int | None = None


@dataclass
class Operation:
    """A line in the history of an approval."""

    userid: str
    at: int
    type: str
    result: str = "NONE"
    remark: str = ""
    show_name: str = ""


@dataclass
class Instance:
    """An approval; times are milliseconds."""

    id: str
    business_id: str
    template: Template
    title: str
    originator: User
    dept_id: int
    values: list[dict[str, Any]]
    flow: list[Node]
    created: int
    by_api: bool = False
    status: str = "RUNNING"
    result: str = ""
    finished: int | None = None
    step: int = 0
    tasks: list[Task] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    biz_action: str = "NONE"
    main_id: str = ""
    attached: list[str] = field(default_factory=list)

    def running_tasks(self) -> list[Task]:
        """The turns nobody has taken yet."""
        return [task for task in self.tasks if task.status == "RUNNING"]


@dataclass
class Notice:
    """A work notification to one person; `refused` says why it never arrived."""

    task_id: int
    userid: str
    title: str
    text: str
    at: int
    refused: str = ""


@dataclass
class Event:
    """Something that happened to an approval, to be pushed; `fields` is the event without its envelope."""

    event_type: str
    instance_id: str
    fields: dict[str, Any]
    at: int
    event_id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True)
class App:
    """The in-house app whose secrets open the interfaces."""

    corp_id: str
    app_key: str
    app_secret: str
    agent_id: int


class Clock:
    """The time in the simulated organisation, which a test may move forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.ahead

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.now() * 1000)


class AccessTokens:
    """Access tokens: one value while it is valid, renewed on each call."""

    def __init__(self, clock: Clock) -> None:
        self.lifetime = 7200
        self._clock = clock
        self._value = ""
        self._ends = 0.0

    def issue(self) -> str:
        """The token to use from now on."""
        if not self.accepts(self._value):
            self._value = secrets.token_hex(16)
        self._ends = self._clock.now() + self.lifetime
        return self._value

    def accepts(self, token: str) -> bool:
        """Whether it is the current token and has not ended."""
        return bool(token) and token == self._value and self._clock.now() < self._ends

    def expire(self) -> None:
        """End the current token now."""
        self._ends = 0.0


class World:
    """The organisation. Whoever reads or changes it holds `lock`."""

    def __init__(
        self, *, app: App, users: Sequence[User], templates: Sequence[Template], departments: dict[int, str]
    ) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.tokens = AccessTokens(self.clock)
        self.app = app
        self.departments = departments
        self.users = {user.userid: user for user in users}
        self.templates = {template.process_code: template for template in templates}
        self.instances: dict[str, Instance] = {}
        self.notices: list[Notice] = []
        self.publish: Callable[[Sequence[Event]], None] = lambda _events: None
        self._last_task_id = FIRST_TASK_ID

    def employee(self, userid: str, code: str = "userNotExist") -> User:
        """An active employee, or a refusal with `code`."""
        user = self.users.get(userid)
        if user is None or not user.active:
            raise Refused(code, f"员工不存在: {userid}")
        return user

    def instance(self, instance_id: str, code: str = "aflowProcessInstNotExist") -> Instance:
        """An approval, or a refusal with `code`."""
        instance = self.instances.get(instance_id)
        if instance is None:
            raise Refused(code, "审批实例不存在")
        return instance

    def next_task_id(self) -> int:
        """An id no other task has."""
        with self.lock:
            self._last_task_id += 1
            return self._last_task_id

    def new_instance_id(self) -> str:
        """An opaque id: no UUID, with a dash and an underscore somewhere."""
        return f"{secrets.token_urlsafe(6)}-{secrets.token_urlsafe(8)}_{self.clock.now_ms() // 1000:014d}"

    def new_business_id(self) -> str:
        """The 21 digits people see: the minute and nine more."""
        moment = dt.datetime.fromtimestamp(self.clock.now(), CHINA)
        return f"{moment:%Y%m%d%H%M}{secrets.randbelow(10**9):09d}"


def world() -> World:
    """The organisation the running request belongs to."""
    found: World = current_app.extensions["world"]
    return found
