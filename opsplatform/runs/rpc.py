"""`run.*`: what runs do, did, and may still do."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from opsplatform.core.errors import NotFound
from opsplatform.core.rpc import Method, caller
from opsplatform.core.schemas import Cursor, Limit, Page, RowId, ShortText, page
from opsplatform.core.settings import settings
from opsplatform.runs import files, queries, schemas, service, unlocking, waiting
from opsplatform.runs.digest import action_of
from opsplatform.runs.models import Run, RunLogLine, RunStep
from opsplatform.runs.schemas import LogOut, RevealedOut, RunOut, RunPlanOut, WatchOut
from opsplatform.states import service as states
from opsplatform.states.schemas import WorkspaceName, WorkspaceOut, workspace

Status = Literal[
    "pending", "planning", "planned", "apply_queued", "applying",
    "applied", "planned_and_finished", "discarded", "canceled", "errored",
]  # fmt: skip
Reason = Annotated[str, Field(min_length=1, max_length=1000)]
LineNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
LineLimit = Annotated[int, Field(ge=1, le=1000)]
POLL_MS = {"planning": 1_500, "applying": 1_500, "pending": 5_000, "apply_queued": 5_000, "planned": 30_000}
CATCH_UP_MS = 50
LARGEST_LOG = 64 * 1024  # characters of one answer; it is cut at whole lines


def list_runs(
    status: Status | None = None,
    module: ShortText | None = None,
    workspace: ShortText | None = None,
    applicant: ShortText | None = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> Page[RunOut]:
    """Runs, newest first."""
    query = queries.find(status=status, module=module, workspace=workspace, applicant=applicant)
    return cast("Page[RunOut]", page(query, Run.id, limit=limit, cursor=cursor, dump=_dump_all))


def get_run(id: RowId) -> RunOut:  # noqa: A002 - the contract's name
    """One run."""
    return _dump(service.get(id))


def run_log(
    id: RowId,  # noqa: A002 - the contract's name
    after: LineNumber | None = None,
    before: LineNumber | None = None,
    tail: bool = False,  # noqa: FBT001, FBT002 - a param of the contract
    limit: LineLimit = 200,
) -> LogOut:
    """A part of the log, in order; with `tail` the last lines of it."""
    return _log(service.get(id), after=after, before=before, limit=limit, tail=tail)


def watch_run(
    id: RowId,  # noqa: A002 - the contract's name
    version: LineNumber | None = None,
    after: LineNumber | None = None,
    limit: LineLimit = 200,
) -> WatchOut:
    """What has changed since `version`, and the log after line `after`; the same for live and finished runs."""
    run, progress = service.get(id), queries.progress(id)
    log = _log(run, after=after or 0, before=None, limit=limit, tail=False)
    shown: dict[str, Any] = {"version": progress.version, "log": log}
    if version != progress.version:
        shown |= {"run": _dump(run), "resources": progress.resources}
    shown["poll_after_ms"] = _poll_after(run, behind=log["next_after"] < progress.last_line)
    return cast("WatchOut", shown)


def run_plan(id: RowId) -> RunPlanOut:  # noqa: A002 - the contract's name
    """The plan, resource by resource, sensitive values masked."""
    run = service.get(id)
    content = files.fetch(id, files.PLAN_JSON)
    if content is None:
        raise NotFound(f"Run {id} has no plan yet.")
    plan = json.loads(content)
    changes = [
        {
            "address": change["address"],
            "type": change["type"],
            "name": change["name"],
            "action": action_of(change),
            "before": change["change"].get("before"),
            "after": change["change"].get("after"),
        }
        for change in plan.get("resource_changes", [])
    ]
    outputs = {name: change.get("after") for name, change in plan.get("output_changes", {}).items()}
    return cast("RunPlanOut", {"id": run.id, "plan": run.plan, "resources": changes, "outputs": outputs})


def reveal_output(id: RowId, name: ShortText, reason: Reason) -> RevealedOut:  # noqa: A002 - the contract's name
    """One output in clear, also a sensitive one; who looked, and why, stands in the run's timeline."""
    value = service.reveal_output(id, name, by=caller().username, reason=reason)
    return {"id": id, "name": name, "value": value}


def confirm_run(id: RowId, reason: Reason | None = None) -> RunOut:  # noqa: A002 - the contract's name
    """Let the plan that waits be applied."""
    return _dump(service.confirm(id, by=caller().username, reason=reason))


def discard_run(id: RowId, reason: Reason | None = None) -> RunOut:  # noqa: A002 - the contract's name
    """Drop the run."""
    return _dump(service.discard(id, by=caller().username, reason=reason))


def cancel_run(id: RowId, reason: Reason | None = None) -> RunOut:  # noqa: A002 - the contract's name
    """End the run, or have Terraform stopped."""
    return _dump(service.cancel(id, by=caller().username, reason=reason))


def retry_run(id: RowId, reason: Reason | None = None) -> RunOut:  # noqa: A002 - the contract's name
    """Go on from a run that failed, through a new plan; answers the new run."""
    return _dump(service.retry(id, by=caller().username, reason=reason))


def unlock_workspace(name: WorkspaceName) -> WorkspaceOut:
    """Take lock, holder and quarantine away by force; refused while Terraform works there, as far as we can see."""
    unlocking.unlock(name, settings().data_dir)
    return cast("WorkspaceOut", workspace.dump(states.get(name)))


def _log(run: Run, *, after: int | None, before: int | None, limit: int, tail: bool) -> LogOut:
    found = queries.log_lines(run.id, after=after, before=before, limit=limit, tail=tail)
    shown = list(_whole_lines(found[::-1]))[::-1] if tail else list(_whole_lines(found))
    last = shown[-1].n if shown else after or 0
    done = run.ended and last >= queries.progress(run.id).last_line
    return cast("LogOut", {"lines": schemas.lines.dump(shown), "next_after": last, "done": done})


def _whole_lines(lines: Sequence[RunLogLine]) -> Iterator[RunLogLine]:
    """Lines from the first on, as many as one answer holds; at least one."""
    size = 0
    for line in lines:
        size += len(line.text)
        if size > LARGEST_LOG and size > len(line.text):
            return
        yield line


def _poll_after(run: Run, *, behind: bool) -> int | None:
    """When to ask again, in milliseconds; None when nothing more will come."""
    return CATCH_UP_MS if behind else POLL_MS.get(run.status)


def _dump(run: Run) -> RunOut:
    return _dump_all([run])[0]


def _dump_all(found: Sequence[Run]) -> list[RunOut]:
    timelines, waits = queries.timelines([run.id for run in found]), waiting.waits(found)
    return [_dump_one(run, timelines[run.id], waits.get(run.id)) for run in found]


def _dump_one(run: Run, timeline: Sequence[RunStep], wait: dict[str, Any] | None) -> RunOut:
    permitted = caller()
    actions = [action for action in service.actions(run) if permitted.may(f"run.{action}")]
    more = {"timeline": schemas.steps.dump(timeline), "queue": wait, "actions": actions}
    return cast("RunOut", {**schemas.run.dump(run), **more})


METHODS = (
    Method("run.list", list_runs),
    Method("run.get", get_run),
    Method("run.log", run_log),
    Method("run.watch", watch_run),
    Method("run.plan", run_plan),
    Method("run.reveal_output", reveal_output, changes=True),
    Method("run.confirm", confirm_run, changes=True),
    Method("run.discard", discard_run, changes=True),
    Method("run.cancel", cancel_run, changes=True),
    Method("run.retry", retry_run, changes=True),
    Method("workspace.unlock", unlock_workspace, changes=True),
)
