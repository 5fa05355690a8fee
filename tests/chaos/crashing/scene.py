"""One life of the platform as the people of a story meet it: web, worker and sweeps in one process."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, text, update

from opsplatform.approvals.models import InboxEvent
from opsplatform.core.db import db, now
from opsplatform.notifications.models import Notice
from opsplatform.runs import tasks, watch, workdir
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.simulator.server import running
from opsplatform.states.models import Workspace
from tests.chaos.crashing.ground import Ground
from tests.chaos.crashing.passages import Passages, count_applies
from tests.chaos.crashing.working import processes_in
from tests.flows.conftest import Api, House, wait_for

ROUNDS = 25
MOVING = (RunStatus.PENDING, RunStatus.PLANNING, RunStatus.APPLY_QUEUED, RunStatus.APPLYING)


class Stuck(Exception):
    """Something that should have come to its end by itself has not."""


class Scene:
    """What people see of one approval and what they do about it."""

    def __init__(self, ground: Ground, house: House, name: str) -> None:
        self.ground, self.house, self.name = ground, house, name
        self.simulator, self.cloud = house.simulator, ground.cloud

    def instance(self) -> dict[str, Any] | None:
        """The approval as DingTalk has it; None before it is submitted."""
        return next(iter(self.simulator.instances()), None)

    def run(self) -> Run | None:
        """The newest run."""
        with self.looking():
            return db.session.scalar(select(Run).order_by(Run.id.desc()).limit(1))

    def began_to_apply(self, run: Run) -> bool:
        """Whether this run ever was applying."""
        query = select(RunStep.id).where(RunStep.run_id == run.id, RunStep.status == RunStatus.APPLYING)
        with self.looking():
            return db.session.scalar(query) is not None

    def settle(self) -> None:
        """Let the platform do all it does by itself, as if the time that takes had passed."""
        self.hear()
        self.house.work()
        for _ in range(ROUNDS):
            self._let_time_pass()
            self.house.sweep()
            if not (waiting := self._unfinished()):
                return
        raise Stuck(f"after {ROUNDS} sweeps there still wait {waiting}")

    def hear(self) -> None:
        """Wait until every event of DingTalk was taken."""

        def everything_was_taken() -> bool:
            self.simulator.settle()
            pushes = self.simulator.pushes()
            return {each["event_id"] for each in pushes} == {each["event_id"] for each in pushes if each["ok"]}

        wait_for(everything_was_taken, "DingTalk to be heard")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the platform as the admin; its answer, a refusal too."""
        if not self.house.api.token:
            self.house.api.log_in("admin")
        return self.house.api.answer(method, **params)

    def move_plan_back(self, days: int) -> None:
        """Let the plans that wait have been made so many days ago."""
        with self.house.context(), db.engine.begin() as connection:
            waits = Run.status == RunStatus.PLANNED
            connection.execute(update(Run).where(waits).values(planned_at=now() - dt.timedelta(days=days)))

    def perform(self, task: str) -> None:
        """Run a periodic task."""
        with self.house.context():
            self.house.app.extensions["queue"].tasks[task]()

    def see_to_workspace(self) -> None:
        """Look that nothing works there any more, and unlock it if it was put aside."""
        with self.looking():
            aside = db.session.scalars(select(Workspace.name).where(Workspace.quarantined_reason.is_not(None))).all()
        for name in aside:
            wait_for(lambda: not processes_in(self.ground.data / "runs"), "the Terraform that was left to end")
            self.call("workspace.unlock", name=name)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the platform do what it does by itself while the block goes on."""
        thread = threading.Thread(target=self.settle, name="worker")
        thread.start()
        yield
        thread.join()

    def output_of(self, run: Run) -> str:
        """What the run's Terraform has said so far."""
        folder = workdir.last_folder_of(self.ground.data, run.id)
        return "\n".join(folder.read_output()) if folder else ""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Read the record."""
        with self.house.context():
            yield

    def _let_time_pass(self) -> None:
        with self.house.context(), db.engine.begin() as connection:
            for table in ("run", "inbox_event", "notice"):
                connection.execute(text(f"UPDATE {table} SET wake_at = 0"))
            for table in ("inbox_event", "notice"):
                connection.execute(text(f"UPDATE {table} SET next_at = 0"))

    def _unfinished(self) -> list[str]:
        with self.looking():
            runs = db.session.scalars(select(Run).where(Run.status.in_(MOVING))).all()
            events = db.session.scalars(select(InboxEvent).where(InboxEvent.status == "received")).all()
            notices = db.session.scalars(select(Notice).where(Notice.status == "waiting")).all()
        return [
            *(f"run {run.id} {run.status}" for run in runs),
            *(f"event {event.id}: {event.note}" for event in events),
            *(f"notice {notice.key}: {notice.error}" for notice in notices),
        ]


@contextmanager
def a_life(ground: Ground, name: str, *, large: int | None, passages: Passages | None) -> Iterator[Scene]:
    """Start the platform in this process, which does nothing else; with `passages` it may die on its way."""
    app = ground.app()
    watch.ASK_SECONDS = 0.1
    if large is not None:
        tasks.LARGE = large
    count_applies(ground.applies)
    if passages:
        passages.watch(app)
    with running(app, port=ground.config.port) as address:
        yield Scene(ground, House(app, Api(address), ground.simulator, ground.folder / "modules"), name)
