"""What must be true when everything has settled, and how long that took."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from opsplatform.runs.models import ENDS, Run, RunStatus
from tests.chaos.killing.killer import Lost
from tests.chaos.killing.people import Wish
from tests.chaos.killing.records import Everything
from tests.chaos.killing.stack import Shape, Stack
from tests.chaos.killing.supervisor import Outage

ENDED = {"agree": "agreed", "refuse": "refused", "withdraw": "terminated", "delete": "terminated"}
PERMITTED = (  # how a run may end when its worker or its Terraform is killed
    "The worker died while it applied the plan",
    "Planning was interrupted",
    "terraform plan: was killed",
    "terraform apply: was killed",
)


class Judge:
    """Compares what was wished with what is on the record and what is in the cloud."""

    def __init__(self, stack: Stack, wishes: Sequence[Wish]) -> None:
        self._wishes = wishes
        self._rows: Everything = stack.records.everything()
        self._ledger = stack.cloud.ledger("create")
        self._objects = stack.cloud.objects()
        self._runs: dict[int, list[Run]] = defaultdict(list)
        for run in self._rows.runs:
            self._runs[run.approval_id or 0].append(run)
        self._steps: dict[int, list[Any]] = defaultdict(list)
        for step in self._rows.steps:
            self._steps[step.run_id].append(step)

    def broken(self) -> list[str]:
        """Every promise that was not kept, a sentence each."""
        checks = (self._approvals(), self._applies(), self._ends(), self._workspaces(), self._cloud())
        return [sentence for check in checks for sentence in check]

    def double_applies(self) -> int:
        """Runs whose plan was applied more than once, and objects that were made more than once."""
        made = Counter(entry["attributes"]["name"] for entry in self._ledger)
        begun = [run for run in self._rows.runs if self._begun(run) > 1]
        return len(begun) + sum(1 for count in made.values() if count > 1)

    def endings(self) -> Counter[str]:
        """How many runs ended how, with the beginning of their error."""
        return Counter(f"{run.status} {(run.error or '')[:60]}".strip() for run in self._rows.runs)

    def given_up(self, lost: Sequence[Lost]) -> int:
        """Runs that were settled as if their worker had died while it applied, although none was killed."""
        killed = {each.run_id for each in lost if each.status == RunStatus.APPLYING}
        settled = {run.id for run in self._rows.runs if (run.error or "").startswith(PERMITTED[0])}
        return len(settled - killed)

    def put_aside(self) -> int:
        """Workspaces that wait for a person."""
        return sum(1 for each in self._rows.workspaces if each.quarantined_reason)

    def settled_after(self, lost: Lost) -> float | None:
        """Seconds until a run that lost its worker was taken over or ended; None when it never was."""
        later = [step.at.timestamp() - lost.at for step in self._steps[lost.run_id] if step.at.timestamp() > lost.at]
        return min(later, default=None)

    def _approvals(self) -> Iterator[str]:
        known = {approval.instance_id: approval for approval in self._rows.approvals}
        for wish in self._wishes:
            approval = known.get(wish.instance_id)
            if approval is None:
                yield f"approval {wish.name} ({wish.outcome}) is lost"
            elif approval.status != ENDED[wish.outcome]:
                yield f"approval {wish.name} is {approval.status} after {wish.outcome}: {approval.error}"
            elif wish.outcome == "agree" and len(self._runs[approval.id]) != 1:
                yield f"approval {wish.name} was agreed to and has {len(self._runs[approval.id])} runs"
        if len(known) != len(self._wishes):
            yield f"{len(known)} approvals are on the record, {len(self._wishes)} were submitted"

    def _applies(self) -> Iterator[str]:
        agreed = {each.id for each in self._rows.approvals if each.status == "agreed"}
        made = Counter(int(entry["label"].partition("-")[0]) for entry in self._ledger)
        for run in self._rows.runs:
            begun = self._begun(run)
            if begun > 1:
                yield f"run {run.id} was applied {begun} times"
            if (begun or made[run.id]) and run.approval_id not in agreed:
                yield f"run {run.id} was applied without an agreement"
            if made[run.id] and not begun:
                yield f"run {run.id} made something without being applied"
        for name, count in Counter(entry["attributes"]["name"] for entry in self._ledger).items():
            if count > 1:
                yield f"{name} was made {count} times"

    def _ends(self) -> Iterator[str]:
        agreed = {each.id for each in self._rows.approvals if each.status == "agreed"}
        for run in self._rows.runs:
            if run.status not in ENDS:
                yield f"run {run.id} is stuck: {run.status}, decision {run.decision}, held by {run.lease_owner}"
            elif run.status == "errored" and not (run.error or "").startswith(PERMITTED):
                yield f"run {run.id} ended for a reason nobody gave: {run.error}"
            elif run.approval_id in agreed and run.status not in {"applied", "errored"}:
                yield f"run {run.id} was agreed to and is {run.status}"

    def _workspaces(self) -> Iterator[str]:
        for workspace in self._rows.workspaces:
            if workspace.holder_run_id is not None or workspace.lock_id is not None:
                yield f"workspace {workspace.name} is held by run {workspace.holder_run_id}, lock {workspace.lock_id}"

    def _cloud(self) -> Iterator[str]:
        """Every object stands on the record of the very run that made it, and every active row is an object."""
        by_run = {entry["id"]: int(entry["label"].partition("-")[0]) for entry in self._ledger}
        rows = [row for row in self._rows.resources if row.state != "destroyed"]
        known = {row.provider_id: row for row in rows if row.provider_id}
        nameless = Counter((row.run_id, row.address) for row in rows if row.state == "orphaned" and not row.provider_id)
        for made in self._objects:
            row, run_id = known.get(made["id"]), by_run[made["id"]]
            if row is None and nameless[run_id, _address(made["name"])] > 0:
                nameless[run_id, _address(made["name"])] -= 1
            elif row is None:
                yield f"{made['id']} ({made['name']}, run {run_id}) is neither in a state nor an orphan"
            elif row.run_id != run_id:
                yield f"{made['id']} was made by run {run_id} and is listed for run {row.run_id}"
        objects = {made["id"] for made in self._objects}
        for row in rows:
            if row.type == "fakecloud_server" and row.provider_id and row.provider_id not in objects:
                yield f"{row.provider_id} is {row.state} on the record and does not exist"

    def _begun(self, run: Run) -> int:
        return sum(1 for step in self._steps[run.id] if step.status == "applying")


def last_hindrance(lost: Lost, seconds: float, shape: Shape, outages: Sequence[Outage]) -> float:
    """Seconds of the settle time that had passed when its last hindrance was over.

    Nothing can be settled while database, broker or scheduler are away, or every worker is; and whoever had taken the
    run over may have been killed as well.
    """
    ends = [each.until or float("inf") for each in outages if each.name in {"scheduler", "redis", "database"}]
    ends += [_worker_again(each, shape, outages) for each in outages if each.name in shape.workers]
    return max((at - lost.at for at in ends if lost.at < at < lost.at + seconds), default=0.0)


def _worker_again(outage: Outage, shape: Shape, outages: Sequence[Outage]) -> float:
    """When this worker was killed, if another one was there; else when the first of them was at work again."""
    until = {each.name: each.until or float("inf") for each in outages if _is_out(each, outage.since)}
    return outage.since if set(shape.workers) - until.keys() else min(until[name] for name in shape.workers)


def _is_out(outage: Outage, at: float) -> bool:
    return outage.since <= at and (outage.until is None or at < outage.until)


def _address(name: str) -> str:
    base, dash, number = name.partition("-")
    return f"fakecloud_server.each[{int(number) - 1}]" if dash and base else "fakecloud_server.this"
