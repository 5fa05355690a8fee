"""The old family of interfaces: token in the query, HTTP 200 always, errors as an `errcode`."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from opsplatform.simulator import flow
from opsplatform.simulator.answers import body_fields, old_spelling, request_id, spoil_after, spoil_before
from opsplatform.simulator.world import Node, Refused, world

OLD_CODES = {
    "userNotExist": 60121,
    "systemError": -1,
    "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi": 90018,
    "Forbidden.AccessDenied.QpsLimitForApi": 90002,
    "Forbidden.AccessDenied.ApiCountLimitForOrg": 90020,
    "internalError": 820008,
}
INVALID_PARAMETER = 400002

oapi = Blueprint("oapi", __name__)


@oapi.before_request
def check_token() -> Response | None:
    """Happen an ordered fault; then let only a valid token of the query or of a posted form through."""
    if (spoiled := spoil_before(refusal)) is not None:
        return spoiled
    if request.endpoint == "oapi.gettoken":
        return None
    return refuse_token()


oapi.after_request(spoil_after)


def refuse_token() -> Response | None:
    """The refusal of a token that is missing, wrong or ended; headers do not count here."""
    token = request.args.get("access_token") or request.form.get("access_token") or ""
    if world().tokens.accepts(token):
        return None
    code, text = ("40014", "不合法的access_token") if token else ("40000", "access_token is blank")
    if not request.path.startswith("/topapi/"):
        return jsonify(errcode=int(code), errmsg=text)
    message = f"ding talk error[subcode={code},submsg={text}]"
    return jsonify(errcode=88, sub_code=code, sub_msg=text, errmsg=message, request_id=request_id())


def refusal(code: str, text: str, _status: int = 200) -> Response:
    """Put a refusal into the shape of this family."""
    number = OLD_CODES.get(code, INVALID_PARAMETER)
    if code.lstrip("-").isdecimal():
        number = int(code)
    return jsonify(errcode=number, errmsg=text, request_id=request_id())


@oapi.errorhandler(Refused)
def refuse(refused: Refused) -> Response:
    """Put a refusal into the shape of this family."""
    return refusal(refused.code, refused.text)


@oapi.get("/gettoken")
def gettoken() -> Response:
    """A token for the app."""
    key, secret, app = request.args.get("appkey"), request.args.get("appsecret"), world().app
    if not key or not secret:
        return jsonify(errcode=40035, errmsg="缺少参数 corpid or appkey")
    if (key, secret) != (app.app_key, app.app_secret):
        return jsonify(errcode=40096, errmsg="不合法的appKey或appSecret")
    tokens = world().tokens
    return jsonify(errcode=0, errmsg="ok", access_token=tokens.issue(), expires_in=tokens.lifetime)


@oapi.post("/topapi/processinstance/get")
def get_instance() -> Response:
    """One approval as it stands now."""
    here = world()
    with here.lock:
        instance = here.instance(str(body_fields().get("process_instance_id") or ""))
        return _ok(process_instance=old_spelling(here, instance))


@oapi.post("/topapi/processinstance/create")
def create_instance() -> Response:
    """Start an approval."""
    fields = body_fields()
    approvers = [userid for userid in str(fields.get("approvers") or "").split(",") if userid]
    dept_id, values = str(fields.get("dept_id", "")), fields.get("form_component_values")
    if not dept_id.lstrip("-").isdecimal() or not isinstance(values, list):
        raise Refused("invalidParameter", "参数错误")
    form = flow.Form(
        process_code=str(fields.get("process_code") or ""),
        userid=str(fields.get("originator_user_id") or ""),
        values=[value for value in values if isinstance(value, dict)],
        dept_id=int(dept_id),
        flow=[Node([userid]) for userid in approvers],
        by_api=True,
    )
    return _ok(process_instance_id=flow.submit(world(), form).id)


@oapi.post("/topapi/process/instance/terminate")
def terminate() -> Response:
    """End a running approval."""
    fields = _inner_request()
    is_system = str(fields.get("is_system", "")).lower() == "true"
    flow.terminate(
        world(),
        str(fields.get("process_instance_id") or ""),
        is_system=is_system,
        userid=str(fields.get("operating_userid") or ""),
        remark=str(fields.get("remark") or ""),
    )
    return _ok(result=True, success=True)


@oapi.post("/topapi/process/instance/comment/add")
def comment() -> Response:
    """Write a comment."""
    fields = _inner_request()
    instance_id, text = str(fields.get("process_instance_id") or ""), str(fields.get("text") or "")
    flow.comment(world(), instance_id, str(fields.get("comment_userid") or ""), text)
    return _ok(result=True, success=True)


@oapi.post("/topapi/v2/user/get")
def get_user() -> Response:
    """An employee."""
    userid = body_fields().get("userid")
    if not isinstance(userid, str) or not userid:
        raise Refused("400002", "无效的参数: userid")
    user = world().users.get(userid)
    if user is None:
        raise Refused("60121", "找不到该用户")
    result = {
        "userid": user.userid,
        "unionid": user.unionid,
        "name": user.name,
        "dept_id_list": user.dept_ids,
        "active": user.active,
        "admin": False,
        "boss": False,
    }
    return _ok(result=result)


@oapi.post("/topapi/user/getbyunionid")
def get_by_unionid() -> Response:
    """The user id behind a union id."""
    unionid = body_fields().get("unionid")
    for user in world().users.values():
        if unionid and user.unionid == unionid:
            return _ok(result={"contact_type": 0, "userid": user.userid})
    raise Refused("60121", "未找到对应员工")


@oapi.route("/topapi/<path:rest>", methods=["GET", "POST"])
def unknown_method(rest: str) -> Response:
    """Say that there is no such method."""
    text = f"不合法ApiName，ApiName = dingtalk.oapi.{rest.replace('/', '.')}"
    return jsonify(errcode=22, sub_msg=text, errmsg=f"Invalid method[submsg={text}]", request_id=request_id())


def _inner_request() -> dict[str, Any]:
    """The object under `request`, where these two methods want their fields."""
    fields = body_fields().get("request")
    if not isinstance(fields, dict):
        raise Refused("400002", "无效的参数: request")
    return fields


def _ok(**fields: object) -> Response:
    return jsonify(errcode=0, errmsg="ok", request_id=request_id(), **fields)
