"""What leaves the runs."""

from typing import Any, NotRequired

from marshmallow import fields
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, PersonOut, ma


class PlanOut(TypedDict):
    """What a plan would do, and the digest that binds an approval to it."""

    add: int
    change: int
    destroy: int
    imports: int
    digest: str
    summary: str
    creates_only: bool


class StepOut(TypedDict):
    """One line of a run's timeline."""

    status: str
    at: str
    by: str | None
    note: str | None


class WaitOut(TypedDict):
    """What a run waits for, and its place in the line: turn, memory, cores, workspace, unlock, approval, confirmation.

    After `trouble` it is tried again. `run_id` is the run that holds its workspace.
    """

    waiting_for: str
    position: int | None
    run_id: int | None


class RunOut(TypedDict):
    """One run; `actions` is what this caller may do with it now."""

    id: int
    kind: str
    status: str
    workspace: str
    module: str
    module_version: str
    environment: str
    applicant: PersonOut
    approval_id: int | None
    approvers: list[dict[str, Any]]
    variables: dict[str, Any]
    plan: PlanOut | None
    outputs: dict[str, Any] | None
    error: str | None
    timeline: list[StepOut]
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempts: int
    queue: WaitOut | None
    actions: list[str]


class LineOut(TypedDict):
    """One line of a run's log."""

    n: int
    at: str
    stream: str
    text: str


class LogOut(TypedDict):
    """A part of a run's log; `done` when nothing more will come."""

    lines: list[LineOut]
    next_after: int
    done: bool


class WatchOut(TypedDict):
    """What a viewer polls; run and resources are absent while nothing has changed."""

    version: int
    run: NotRequired[RunOut]
    resources: NotRequired[list[dict[str, Any]]]
    log: LogOut
    poll_after_ms: int | None


class ChangeOut(TypedDict):
    """What a plan would do with one resource; sensitive values are masked."""

    address: str
    type: str
    name: str
    action: str
    before: Any
    after: Any


class RunPlanOut(TypedDict):
    """A run's plan, resource by resource."""

    id: int
    plan: PlanOut | None
    resources: list[ChangeOut]
    outputs: dict[str, Any]


class RevealedOut(TypedDict):
    """One output in clear."""

    id: int
    name: str
    value: Any


class RunSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A run as it goes out, without timeline and actions."""

    id = fields.Integer()
    kind = fields.String()
    status = fields.String()
    workspace = fields.String()
    module = fields.String()
    module_version = fields.String()
    environment = fields.String()
    applicant = fields.Function(lambda row: {"userid": row.applicant_userid, "name": row.applicant_name})
    approval_id = fields.Integer()
    approvers = fields.Raw()
    variables = fields.Raw()
    plan = fields.Raw()
    outputs = fields.Raw()
    error = fields.String()
    created_at = Moment()
    started_at = Moment()
    finished_at = Moment()
    attempts = fields.Integer()


class StepSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A line of the timeline as it goes out."""

    status = fields.String()
    at = Moment()
    by = fields.String()
    note = fields.String()


class LineSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A line of the log as it goes out."""

    n = fields.Integer()
    at = Moment()
    stream = fields.String()
    text = fields.String()


run = RunSchema()
steps = StepSchema(many=True)
lines = LineSchema(many=True)
