"""Runs: their legal moves, the files that belong to them, their log and their progress."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, Json, LongBytes, LongText, now
from opsplatform.core.errors import Conflict
from opsplatform.core.leases import Leased
from opsplatform.core.machines import Cause, Machine, Move


class RunStatus(StrEnum):
    """Where a run stands, in HCP Terraform's words (contract, section 4.3)."""

    PENDING = "pending"
    PLANNING = "planning"
    PLANNED = "planned"
    APPLY_QUEUED = "apply_queued"
    APPLYING = "applying"
    APPLIED = "applied"
    PLANNED_AND_FINISHED = "planned_and_finished"
    DISCARDED = "discarded"
    CANCELED = "canceled"
    ERRORED = "errored"


S = RunStatus
EVENT, WORKER, SWEEPER, PERSON, CLOCK = Cause.EVENT, Cause.WORKER, Cause.SWEEPER, Cause.PERSON, Cause.CLOCK

MACHINE = Machine(
    (S.PENDING,),
    (
        Move(S.PENDING, S.PLANNING, WORKER, "it claimed the run and holds the workspace"),
        Move(S.PENDING, S.DISCARDED, EVENT, "the approval was refused or withdrawn"),
        Move(S.PENDING, S.DISCARDED, PERSON, "run.discard"),
        Move(S.PENDING, S.CANCELED, PERSON, "run.cancel"),
        Move(S.PENDING, S.ERRORED, WORKER, "planning was interrupted too often"),
        Move(S.PLANNING, S.PLANNED, WORKER, "the plan changes something and the offer allows it"),
        Move(S.PLANNING, S.PLANNED_AND_FINISHED, WORKER, "the plan changes nothing"),
        Move(S.PLANNING, S.DISCARDED, EVENT, "the approval was refused or withdrawn"),
        Move(S.PLANNING, S.CANCELED, WORKER, "run.cancel was called meanwhile"),
        Move(S.PLANNING, S.ERRORED, WORKER, "Terraform or the offer says no, or it was interrupted too often"),
        Move(S.PLANNED, S.APPLY_QUEUED, EVENT, "agreed to the plan that stands, or as in the next line"),
        Move(S.PLANNED, S.APPLY_QUEUED, WORKER, "agreed before; the plan only creates and the offer lets that pass"),
        Move(S.PLANNED, S.APPLY_QUEUED, PERSON, "run.confirm, after the agreement"),
        Move(S.PLANNED, S.DISCARDED, EVENT, "the approval was refused or withdrawn"),
        Move(S.PLANNED, S.DISCARDED, PERSON, "run.discard"),
        Move(S.PLANNED, S.DISCARDED, CLOCK, "nobody decided within the life of a plan"),
        Move(S.PLANNED, S.CANCELED, PERSON, "run.cancel"),
        Move(S.APPLY_QUEUED, S.APPLYING, WORKER, "it holds run and workspace, and the digest is the approved one"),
        Move(S.APPLY_QUEUED, S.PENDING, WORKER, "plan, module, variables or state are not as they were"),
        Move(S.APPLY_QUEUED, S.CANCELED, PERSON, "run.cancel"),
        Move(S.APPLY_QUEUED, S.ERRORED, WORKER, "the module is gone"),
        Move(S.APPLYING, S.APPLIED, WORKER, "Terraform ended well and the state is stored"),
        Move(S.APPLYING, S.CANCELED, WORKER, "run.cancel stopped Terraform; the state is stored"),
        Move(S.APPLYING, S.ERRORED, WORKER, "Terraform failed, or its state could not be stored"),
        Move(S.APPLYING, S.ERRORED, SWEEPER, "the worker died; what exists is recorded"),
    ),
)
NEXT = MACHINE.next
ENDS = MACHINE.ends

WORKSPACE = "workspace"  # another run holds it, or it is quarantined
TROUBLE = "trouble"  # taking it failed for a reason nobody foresaw; it is tried again
HELD_UP = (WORKSPACE, TROUBLE, "memory", "cores")  # the last two: there is no room on a worker's host

KINDS = ("create", "change", "destroy", "drift")


def one_of(column: str, values: Any) -> str:  # noqa: ANN401 - any iterable of strings
    """The text of a check constraint: the column holds one of these."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class Run(Leased, Base):
    """One attempt to bring a workspace to what was ordered."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(one_of("status", RunStatus), name="status"),
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        Index(None, "status", "id"),
        Index(None, "workspace", "id"),
        Index(None, "module", "id"),
        Index(None, "applicant_userid", "id"),
        Index(None, "approval_id"),
        Index("ix_run_turn", "status", "applicant_userid", "module", "kind", "held_up", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    origin: Mapped[str] = mapped_column(String(80), unique=True)  # what called for it; makes a second one impossible
    kind: Mapped[str] = mapped_column(String(10), default="create")
    status: Mapped[str] = mapped_column(String(24), default=RunStatus.PENDING)
    workspace: Mapped[str] = mapped_column(String(63))
    module: Mapped[str] = mapped_column(String(63))
    module_version: Mapped[str] = mapped_column(String(64))
    environment: Mapped[str] = mapped_column(String(63))
    applicant_userid: Mapped[str] = mapped_column(String(128))
    applicant_name: Mapped[str] = mapped_column(String(128))
    approval_id: Mapped[int | None]
    approval: Mapped[dict[str, Any] | None]  # id, instance_id, business_id, title, url as they were
    approvers: Mapped[list[Any]] = mapped_column(Json, default=list)
    variables: Mapped[dict[str, Any]]  # sensitive ones masked; the values themselves are a sealed file of the run
    rules: Mapped[dict[str, Any]]  # what the offer allowed when it was ordered
    decision: Mapped[str | None] = mapped_column(String(10))  # approved, refused
    decided_at: Mapped[dt.datetime | None]
    approved_digest: Mapped[str | None] = mapped_column(String(64))  # the plan that stood there when it was approved
    confirmed_by: Mapped[str | None] = mapped_column(String(128))
    plan: Mapped[dict[str, Any] | None]  # add, change, destroy, digest, summary, creates_only
    plan_digest: Mapped[str | None] = mapped_column(String(64))
    backend: Mapped[str] = mapped_column(String(10), default="local")
    engine: Mapped[str | None] = mapped_column(String(40))
    outputs: Mapped[dict[str, Any] | None]  # sensitive ones masked
    error: Mapped[str | None] = mapped_column(LongText)
    cancel_requested_by: Mapped[str | None] = mapped_column(String(128))
    held_up: Mapped[str | None] = mapped_column(String(10))  # what it waits for besides its turn: one of HELD_UP
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    started_at: Mapped[dt.datetime | None]
    planned_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]

    def move_to(self, status: RunStatus) -> None:
        """Change status, or refuse."""
        if status not in MACHINE.after(self.status):
            raise Conflict(
                f"Run {self.id} is {self.status} and cannot become {status}.",
                state=self.status,
                allowed=sorted(MACHINE.after(self.status)),
            )
        self.status = status
        self.held_up = None
        if status in ENDS:
            self.finished_at = now()

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDS


class RunCost(Base):
    """What a step of a module took so far: what the next one is expected to take."""

    __tablename__ = "run_cost"

    module: Mapped[str] = mapped_column(String(63), primary_key=True)
    step: Mapped[str] = mapped_column(String(10), primary_key=True)  # plan, apply
    memory_mb: Mapped[float] = mapped_column(Float(53))
    cores: Mapped[float] = mapped_column(Float(53))  # that it keeps busy
    seconds: Mapped[float] = mapped_column(Float(53))


class RunTurn(Base):
    """When an applicant's turn was last, so that the next is another's."""

    __tablename__ = "run_turn"

    applicant_userid: Mapped[str] = mapped_column(String(128), primary_key=True)
    taken_at: Mapped[float] = mapped_column(Float(53))  # by the database's clock


class RunStep(Base):
    """One line of a run's timeline."""

    __tablename__ = "run_step"
    __table_args__ = (Index(None, "run_id", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    status: Mapped[str] = mapped_column(String(24))
    at: Mapped[dt.datetime] = mapped_column(default=now)
    by: Mapped[str | None] = mapped_column("actor", String(128))
    note: Mapped[str | None] = mapped_column(LongText)


class RunFile(Base):
    """A sealed file of a run: its variables, its plan, the plan as JSON, its lock file."""

    __tablename__ = "run_file"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LongBytes)


class RunLogLine(Base):
    """One line that Terraform, or the platform about it, said; secrets are masked before it gets here."""

    __tablename__ = "run_log_line"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[dt.datetime]
    stream: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(LongText)


class RunProgress(Base):
    """What a viewer polls: a version that grows with every change, and each resource's state."""

    __tablename__ = "run_progress"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer, default=0)
    last_line: Mapped[int] = mapped_column(Integer, default=0)
    seconds: Mapped[float] = mapped_column(Float(53), default=0.0)
    resources: Mapped[list[Any]] = mapped_column(Json, default=list)
