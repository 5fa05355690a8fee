"""What leaves the approvals."""

from typing import Any

from marshmallow import fields
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, PersonOut, ma


class ApproverOut(TypedDict):
    """Somebody who decided, or whose turn it is: then result and time are null."""

    userid: str
    name: str
    result: str | None
    at: str | None


class ApprovedPlanOut(TypedDict):
    """The plan that was agreed to: `short` is the digest as the comment under the approval shows it."""

    run_id: int
    digest: str
    short: str


class ApprovalOut(TypedDict):
    """One DingTalk approval as it is stored."""

    id: int
    instance_id: str
    business_id: str | None
    process_code: str
    title: str
    url: str | None
    status: str
    module: str | None
    form: list[dict[str, Any]]
    applicant: PersonOut
    approvers: list[ApproverOut]
    created_at: str
    finished_at: str | None
    run_ids: list[int]
    approved_plan: ApprovedPlanOut | None
    error: str | None


class ApprovalSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """An approval as it goes out, without its runs and their plan."""

    id = fields.Integer()
    instance_id = fields.String()
    business_id = fields.String()
    process_code = fields.String()
    title = fields.String()
    url = fields.String()
    status = fields.String()
    module = fields.String()
    form = fields.Raw()
    applicant = fields.Function(lambda row: {"userid": row.applicant_userid, "name": row.applicant_name})
    approvers = fields.Raw()
    created_at = Moment()
    finished_at = Moment()
    error = fields.String()


approval = ApprovalSchema()
