"""The current family of interfaces: token in a header, errors as HTTP statuses with a `code`."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from opsplatform.simulator import flow
from opsplatform.simulator.answers import body_fields, new_spelling, request_id, spoil_after, spoil_before
from opsplatform.simulator.world import LONGEST_TEXT, Node, Refused, world

TOKEN_HEADER = "x-acs-dingtalk-access-token"  # noqa: S105 - the name of a header
OPEN = frozenset({"access_token", "corp_token"})
LARGEST_TASK_ID = 2**63

api = Blueprint("api", __name__, url_prefix="/v1.0")
api.after_request(spoil_after)


@api.before_request
def check_token() -> Response | None:
    """Happen an ordered fault; then let only a valid token of the header through."""
    if (spoiled := spoil_before(_refusal)) is not None:
        return spoiled
    if (request.endpoint or "").removeprefix("api.") in OPEN:
        return None
    token = request.headers.get(TOKEN_HEADER)
    if not token:
        raise Refused("AuthenticationFailed.MissingParameter", f"缺少参数：{TOKEN_HEADER}")
    if not world().tokens.accepts(token):
        raise Refused("InvalidAuthentication", "不合法的access_token")
    return None


@api.errorhandler(Refused)
def refuse(refused: Refused) -> Response:
    """Put a refusal into the shape of this family."""
    return _refusal(refused.code, refused.text, refused.status)


@api.post("/oauth2/accessToken")
def access_token() -> dict[str, Any]:
    """A token for the app."""
    fields, app = body_fields(), world().app
    if (fields.get("appKey"), fields.get("appSecret")) != (app.app_key, app.app_secret):
        raise Refused("invalidClientIdOrSecret", "无效的clientId或者clientSecret")
    return {"accessToken": world().tokens.issue(), "expireIn": world().tokens.lifetime}


@api.post("/oauth2/<corp_id>/token")
def corp_token(corp_id: str) -> dict[str, Any]:
    """The same token by the newer method."""
    fields, app = body_fields(), world().app
    given = (corp_id, fields.get("client_id"), fields.get("client_secret"), fields.get("grant_type"))
    if given != (app.corp_id, app.app_key, app.app_secret, "client_credentials"):
        raise Refused("unknownError", "未知错误", status=500)
    return {"access_token": world().tokens.issue(), "expires_in": world().tokens.lifetime}


@api.get("/workflow/processInstances")
def get_instance() -> dict[str, Any]:
    """One approval as it stands now."""
    instance_id = request.args.get("processInstanceId", "")
    if not instance_id:
        raise Refused("processInstanceIdError", "审批实例ID不能为空")
    here = world()
    with here.lock:
        result = new_spelling(here, here.instance(instance_id, "processInstanceNotExist"))
        return {"result": result, "success": "true"}


@api.post("/workflow/processInstances")
def create_instance() -> dict[str, Any]:
    """Start an approval."""
    fields = body_fields()
    dept_id, approvers = fields.get("deptId"), fields.get("approvers") or []
    if not isinstance(dept_id, int) and not approvers:
        raise Refused("invalidParameter", "deptId不能为空")
    form = flow.Form(
        process_code=_text(fields, "processCode"),
        userid=_text(fields, "originatorUserId"),
        values=_objects(fields, "formComponentValues"),
        dept_id=dept_id if isinstance(dept_id, int) else None,
        flow=[_node(item) for item in _objects(fields, "approvers")],
        by_api=True,
    )
    return {"instanceId": flow.submit(world(), form).id}


@api.post("/workflow/processInstances/terminate")
def terminate() -> dict[str, Any]:
    """End a running approval."""
    fields = body_fields()
    is_system, remark = fields.get("isSystem") is True, fields.get("remark") or ""
    userid = "" if is_system else _text(fields, "operatingUserId")
    flow.terminate(world(), _text(fields, "processInstanceId"), is_system=is_system, userid=userid, remark=str(remark))
    return {"result": True, "success": True}


@api.post("/workflow/processInstances/comments")
def comment() -> dict[str, Any]:
    """Write a comment."""
    fields = body_fields()
    text = fields.get("text")
    userid = str(fields.get("commentUserId") or "")
    flow.comment(world(), _text(fields, "processInstanceId"), userid, text if isinstance(text, str) else "")
    return {"result": True, "success": True}


@api.post("/workflow/processInstances/execute")
def execute() -> dict[str, Any]:
    """Take a person's turn."""
    fields = body_fields()
    result, task_id, remark = fields.get("result"), fields.get("taskId"), str(fields.get("remark") or "")
    if result not in {"agree", "refuse"} or len(remark) > LONGEST_TEXT:
        raise Refused("invalidParameter", "参数错误")
    if not isinstance(task_id, int) or not 0 < task_id < LARGEST_TASK_ID:
        raise Refused("invalidInstanceExecuteTaskId", "任务不存在")
    userid = world().employee(_text(fields, "actionerUserId")).userid
    instance_id = _text(fields, "processInstanceId")
    flow.decide(world(), instance_id, result, userid=userid, task_id=task_id, remark=remark)
    return {"result": True, "success": True}


@api.route("/<path:rest>", methods=["GET", "POST", "PUT", "DELETE"])
def unknown(rest: str) -> Response:
    """Say that there is no such interface."""
    return _refusal("InvalidAction.NotFound", f"Specified api is not found: /v1.0/{rest}", 404)


def _refusal(code: str, text: str, status: int) -> Response:
    response = jsonify(code=code, requestid=request_id(), message=text)
    response.status_code = status
    return response


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Refused("invalidParameter", f"参数错误: {name}")
    return value


def _objects(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused("invalidParameter", f"参数错误: {name}")
    return value


def _node(item: dict[str, Any]) -> Node:
    action, userids = item.get("actionType", "NONE"), item.get("userIds")
    if action not in {"AND", "OR", "NONE"} or not isinstance(userids, list) or not userids:
        raise Refused("invalidParameter", "参数错误: approvers")
    return Node([str(userid) for userid in userids], action)
