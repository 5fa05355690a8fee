"""Registration of a callback by the old interface: validated, then tried with a handshake before it counts."""

from flask import Response, jsonify

from opsplatform.simulator.answers import body_fields
from opsplatform.simulator.oapi import oapi
from opsplatform.simulator.pushes import pusher
from opsplatform.simulator.wire import Subscription
from opsplatform.simulator.world import Refused, world

PLACE = "corp"  # the subscriptions of the corp stand beside those of the app's console page
TAGS = frozenset(
    {
        "user_add_org",
        "user_modify_org",
        "user_leave_org",
        "user_active_org",
        "org_admin_add",
        "org_admin_remove",
        "org_dept_create",
        "org_dept_modify",
        "org_dept_remove",
        "org_remove",
        "org_change",
        "label_user_change",
        "label_conf_add",
        "label_conf_del",
        "label_conf_modify",
        "bpms_task_change",
        "bpms_instance_change",
        "chat_add_member",
        "chat_remove_member",
        "chat_quit",
        "chat_update_owner",
        "chat_update_title",
        "chat_disband",
        "check_in",
        "attendance_check_record",
        "attendance_schedule_change",
        "attendance_overtime_duration",
        "meetingroom_book",
        "meetingroom_room_info",
    }
)
SHORTEST_TOKEN = 6
LONGEST_TOKEN = 64


@oapi.post("/call_back/register_call_back")
def register() -> Response:
    """Register the callback of the corp."""
    wanted = _wanted()
    if PLACE in pusher().subscriptions:
        raise Refused("71006", "回调地址已经存在")
    return _accept(wanted)


@oapi.post("/call_back/update_call_back")
def update() -> Response:
    """Replace the callback of the corp."""
    wanted = _wanted()
    _registered()
    return _accept(wanted)


@oapi.get("/call_back/get_call_back")
def get() -> Response:
    """Tell the callback of the corp, secrets included."""
    found = _registered()
    return jsonify(
        errcode=0,
        errmsg="ok",
        call_back_tag=list(found.tags),
        aes_key=found.aes_key,
        token=found.token,
        url=found.url,
    )


@oapi.get("/call_back/delete_call_back")
def delete() -> Response:
    """Remove the callback of the corp."""
    _registered()
    del pusher().subscriptions[PLACE]
    return jsonify(errcode=0, errmsg="ok")


def _registered() -> Subscription:
    found = pusher().subscriptions.get(PLACE)
    if found is None:
        raise Refused("71007", "回调地址已不存在")
    return found


def _wanted() -> Subscription:
    """The subscription that was sent."""
    fields = body_fields()
    tags, token, aes_key, url = (fields.get(name) for name in ("call_back_tag", "token", "aes_key", "url"))
    complete = isinstance(tags, list) and tags and all(isinstance(text, str) for text in (token, aes_key, url, *tags))
    if not complete or not SHORTEST_TOKEN <= len(str(token)) < LONGEST_TOKEN:
        raise Refused("71010", "POST的JSON数据不包含所需要的参数字段或包含的参数格式非法")
    if not TAGS.issuperset(tags or ()):
        raise Refused("71008", "回调call_back_tag必须在指定的call_back_tag列表中")
    return Subscription(
        url=str(url),
        token=str(token),
        aes_key=str(aes_key),
        owner_key=world().app.corp_id,
        envelope="older",
        tags=tuple(tags or ()),
    )


def _accept(wanted: Subscription) -> Response:
    """Keep the subscription after its server answered the handshake."""
    pusher().wire.shake_hands(wanted)
    pusher().subscriptions[PLACE] = wanted
    return jsonify(errcode=0, errmsg="ok")
