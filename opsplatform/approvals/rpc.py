"""`approval.*`: the DingTalk approvals as they are stored."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from opsplatform.approvals import inbox, schemas, service
from opsplatform.approvals.models import Approval
from opsplatform.approvals.schemas import ApprovalOut
from opsplatform.core.rpc import Method
from opsplatform.core.schemas import Cursor, Limit, Page, RowId, ShortText, page
from opsplatform.runs import service as runs

Status = Literal["pending", "agreed", "refused", "terminated", "invalid", "ignored"]


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


def replay_approval(id: RowId) -> ApprovalOut:  # noqa: A002 - the contract's name
    """Handle the approval's stored event again; what was done once is not done twice."""
    approval = service.get(id)
    inbox.replay(approval.instance_id)
    return cast("ApprovalOut", _dump([approval])[0])


def _dump(approvals: Sequence[Approval]) -> list[dict[str, Any]]:
    run_ids = runs.ids_by_approval([approval.id for approval in approvals])
    return [{**schemas.approval.dump(row), "run_ids": run_ids.get(row.id, [])} for row in approvals]


METHODS = (
    Method("approval.list", list_approvals),
    Method("approval.get", get_approval),
    Method("approval.replay", replay_approval, changes=True),
)
