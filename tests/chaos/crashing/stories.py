"""The stories: what people do, step by step.

A step looks first whether it was done, for it may come after a death, and lets the platform do what it does by itself
where people would wait for that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opsplatform.runs.models import RunStatus
from tests.chaos.crashing.scene import Scene, Stuck
from tests.cloud.offers import MANY, SERVER
from tests.flows.conftest import wait_for

Step = Callable[[Scene], None]
MOST_RETRIES = 4


@dataclass(frozen=True)
class Story:
    """One approval and what becomes of it.

    Attributes:
        ends: the status of its last run when nobody dies; empty when there is none.
        steps: what people do after they have submitted the form.
        named: the field of the form that takes the name of the life, so that the cloud knows whose a server is.
        cold: no module was ever initialised when it begins.
        large: how many resources are so many that their state is kept over HTTP; None for what the product says.
        unchecked: DingTalk lets the form pass as it is.
    """

    name: str
    process_code: str
    ends: str
    steps: tuple[Step, ...]
    values: dict[str, Any] = field(default_factory=dict)
    named: str = "名称"
    cold: bool = False
    large: int | None = None
    unchecked: bool = False

    def play(self, scene: Scene) -> None:
        """Do everything that is still to be done."""
        for step in (self._submit, *self.steps):
            step(scene)
        scene.settle()
        scene.house.sweep()

    def _submit(self, scene: Scene) -> None:
        scene.hear()
        if not scene.simulator.pushes():
            named = {self.named: scene.name} if self.named else {}
            values = {**named, **self.values}
            scene.house.submit(values, process_code=self.process_code, unchecked=self.unchecked)


def agree(scene: Scene) -> None:
    """The approver agrees."""
    _while_it_runs(scene, scene.house.agree)


def refuse(scene: Scene) -> None:
    """The approver refuses."""
    _while_it_runs(scene, scene.simulator.refuse)


def withdraw(scene: Scene) -> None:
    """The applicant withdraws."""
    _while_it_runs(scene, scene.simulator.withdraw)


def delete(scene: Scene) -> None:
    """The approval is deleted in DingTalk."""
    scene.settle()
    if instance := scene.instance():
        scene.simulator.delete(instance["instance_id"])


def cancel_the_apply(scene: Scene) -> None:
    """The approver agrees, and somebody cancels the run while it is applied."""
    _while_it_runs(scene, scene.house.agree)
    with scene.working():
        if wait_for(lambda: _is_in_its_second_resource(scene), "the apply to be in its middle") == "in it":
            scene.call("run.cancel", id=scene.run().id)
    scene.settle()
    scene.see_to_workspace()


def trouble_at_the_cloud(scene: Scene) -> None:
    """The cloud takes no new servers today."""
    scene.settle()
    if _waits_for_its_approval(scene):
        scene.cloud.order("error", op="create", name=scene.name)


def no_trouble_any_more(scene: Scene) -> None:
    """The cloud is itself again."""
    scene.settle()
    scene.cloud.clear()


def change_the_module(scene: Scene) -> None:
    """Somebody edits the module while its plan waits."""
    scene.settle()
    if _waits_for_its_approval(scene):
        path = scene.house.modules / "cloud-server" / "extra.tf"
        path.write_text('output "also" {\n  value = var.name\n}\n', encoding="utf-8")
        scene.perform("catalog.read_modules")


def let_it_expire(scene: Scene) -> None:
    """Nobody decides for so long that the applicant is warned, and then the plan is dropped."""
    for days in (28, 31):
        scene.settle()
        scene.move_plan_back(days)
        scene.perform("runs.expire")


def go_on(scene: Scene) -> None:
    """Confirm what waits for it and retry what ended halfway, as its error says, until it is as it was ordered."""
    for _ in range(MOST_RETRIES):
        scene.settle()
        run = scene.run()
        if run.status == RunStatus.PLANNED:
            scene.call("run.confirm", id=run.id)
        elif run.status == RunStatus.ERRORED:
            scene.see_to_workspace()
            scene.call("run.retry", id=run.id)
        else:
            return
    raise Stuck(f"it was retried {MOST_RETRIES} times in vain: {scene.run().error}")


def _while_it_runs(scene: Scene, act: Callable[[str], Any]) -> None:
    instance = scene.instance()
    if instance and instance["status"] == "RUNNING":
        scene.settle()
        act(instance["instance_id"])


def _waits_for_its_approval(scene: Scene) -> bool:
    run = scene.run()
    return run.status == RunStatus.PLANNED and run.decision is None


def _is_in_its_second_resource(scene: Scene) -> str:
    run = scene.run()
    if run.ended:
        return "over"
    applying = run.status == RunStatus.APPLYING
    return "in it" if applying and "terraform_data.second: Creating" in scene.output_of(run) else ""


SERVER_FORM = {"规格": "small"}
STORIES = (
    Story("approved, cold", "PROC-DEMO-SERVER", "applied", (agree, go_on), SERVER_FORM, named="服务器名称", cold=True),
    Story("approved, cloud", MANY, "applied", (agree, go_on), {"数量": 2, "秒": 1}),
    Story("over HTTP", SERVER, "applied", (agree, go_on), large=0),
    Story("refused", "PROC-DEMO-SERVER", "discarded", (refuse,), SERVER_FORM, named="服务器名称"),
    Story("withdrawn", "PROC-DEMO-SERVER", "discarded", (withdraw,), SERVER_FORM, named="服务器名称"),
    Story("deleted", "PROC-DEMO-SERVER", "discarded", (delete,), SERVER_FORM, named="服务器名称"),
    Story("canceled", "PROC-SLOW", "canceled", (cancel_the_apply,), {"秒": 30}, named=""),
    Story("retried", SERVER, "applied", (trouble_at_the_cloud, agree, no_trouble_any_more, go_on)),
    Story("changed", SERVER, "applied", (change_the_module, agree, go_on)),
    Story("expired", "PROC-DEMO-SERVER", "discarded", (let_it_expire,), SERVER_FORM, named="服务器名称"),
    Story("does not fit", "PROC-DEMO-SERVER", "", (), {"规格": "gigantic"}, named="服务器名称", unchecked=True),
    Story("fails in its plan", "PROC-FAILS-IN-PLAN", "errored", ()),
)
