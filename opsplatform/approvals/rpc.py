"""`approval.*`: the DingTalk approvals as they are stored."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from opsplatform.adapters.registry import adapters
from opsplatform.approvals import inbox, schemas, service
from opsplatform.approvals.models import Approval
from opsplatform.approvals.schemas import ApprovalOut
from opsplatform.catalog import service as catalog
from opsplatform.core.db import reading
from opsplatform.core.errors import Conflict, UpstreamError
from opsplatform.core.rpc import Method, caller
from opsplatform.core.schemas import Cursor, Limit, Page, RowId, ShortText, page
from opsplatform.runs import service as runs

Status = Literal["pending", "agreed", "refused", "terminated", "invalid", "ignored"]
ModuleName = Annotated[str, Field(min_length=1, max_length=63)]
Variables = Annotated[dict[Annotated[str, Field(max_length=64)], Any], Field(max_length=150)]

ROOT_DEPARTMENT = 1
ROOT_SENT = -1  # how the call that starts an approval wants the root department


def list_approvals(
    status: Status | None = None,
    applicant: ShortText | None = None,
    module: ShortText | None = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> Page[ApprovalOut]:
    """Approvals, newest first."""
    query = service.find(status=status, applicant=applicant, module=module)
    return cast("Page[ApprovalOut]", page(query, Approval.id, limit=limit, cursor=cursor, dump=_dump))


def get_approval(id: RowId) -> ApprovalOut:  # noqa: A002 - the contract's name
    """One approval."""
    return cast("ApprovalOut", _dump([service.get(id)])[0])


def create_approval(module: ModuleName, variables: Variables, environment: ShortText | None = None) -> ApprovalOut:
    """Start an approval in DingTalk in the caller's name; `variables` are the module's inputs.

    What happens next is what happens with a form that was filled in by hand: plan, decision, apply.
    """
    userid = caller().dingtalk_userid
    if userid is None:
        raise Conflict(
            "Your user is bound to no DingTalk user in whose name an approval could start; "
            "ask an administrator to bind one with user.bind_dingtalk."
        )
    with reading():
        form = catalog.fill_form(module, variables, environment)
    # DingTalk is called before the first write, so that no transaction is open while it takes its time.
    person = adapters().dingtalk.get_user(userid)
    instance_id = _start(userid, form, _department(person.dept_ids))
    approval = service.record_started(instance_id, form, module=module, applicant=(userid, person.name or userid))
    return cast("ApprovalOut", _dump([approval])[0])


def _department(dept_ids: Sequence[int]) -> int:
    """The department an approval is started for: the applicant's first."""
    first = dept_ids[0] if dept_ids else ROOT_DEPARTMENT
    return ROOT_SENT if first == ROOT_DEPARTMENT else first


def _start(userid: str, form: catalog.FilledForm, dept_id: int) -> str:
    """Start it; where DingTalk's answer got lost, say that it may have been started all the same."""
    try:
        return adapters().dingtalk.create_instance(userid, form.process_code, dept_id, form.values)
    except UpstreamError as error:
        if error.certain:
            raise
        text = f"{error.message}; the approval may have been started all the same, so look in DingTalk before you retry"
        raise UpstreamError(error.system, text, upstream_code=error.upstream_code, certain=False) from error


def replay_approval(id: RowId) -> ApprovalOut:  # noqa: A002 - the contract's name
    """Handle the approval's stored event again; what was done once is not done twice."""
    approval = service.get(id)
    inbox.replay(approval.instance_id)
    return cast("ApprovalOut", _dump([approval])[0])


def _dump(approvals: Sequence[Approval]) -> list[dict[str, Any]]:
    ids = [approval.id for approval in approvals]
    run_ids, plans = runs.ids_by_approval(ids), runs.approved_plans(ids)
    return [
        {**schemas.approval.dump(row), "run_ids": run_ids.get(row.id, []), "approved_plan": plans.get(row.id)}
        for row in approvals
    ]


METHODS = (
    Method("approval.list", list_approvals),
    Method("approval.get", get_approval),
    Method("approval.create", create_approval, changes=True, outside=True),
    Method("approval.replay", replay_approval, changes=True),
)
