"""Work notifications: queued with success, dropped in silence when the same text went to the same person today."""

import datetime as dt
import json
from typing import Any

from flask import Response, jsonify

from opsplatform.simulator.answers import body_fields, request_id
from opsplatform.simulator.oapi import oapi
from opsplatform.simulator.world import CHINA, Notice, Refused, World, world

FOLDER = "/topapi/message/corpconversation"
MOST_PEOPLE = 100
LARGEST_MESSAGE = 2048
LONGEST_MARKDOWN = 5000
DUPLICATE = 143106


@oapi.post(f"{FOLDER}/asyncsend_v2")
def send() -> Response:
    """Queue a notification."""
    fields, here = body_fields(), world()
    _check_agent(fields)
    people = [userid for userid in str(fields.get("userid_list") or "").split(",") if userid]
    if not 0 < len(people) <= MOST_PEOPLE:
        raise Refused("33012", "无效的userid列表")
    title, text = _content(fields.get("msg"))
    with here.lock:
        task_id = here.next_task_id()
        for userid in people:
            refused = _why_not(here, userid, text)
            here.notices.append(Notice(task_id, userid, title, text, here.clock.now_ms(), refused))
    return jsonify(errcode=0, task_id=task_id, request_id=request_id())


@oapi.post(f"{FOLDER}/getsendresult")
def result() -> Response:
    """Who got a notification, and who did not."""
    notices = _notices(body_fields())
    forbidden = [
        {"code": str(DUPLICATE), "count": 1, "userid": one.userid} for one in notices if one.refused == "duplicate"
    ]
    answer = {
        "invalid_user_id_list": [one.userid for one in notices if one.refused == "invalid"],
        "forbidden_list": forbidden,
        "forbidden_user_id_list": [one["userid"] for one in forbidden],
        "failed_user_id_list": [],
        "read_user_id_list": [],
        "unread_user_id_list": [one.userid for one in notices if not one.refused],
    }
    return jsonify(errcode=0, errmsg="ok", send_result=answer, request_id=request_id())


@oapi.post(f"{FOLDER}/getsendprogress")
def progress() -> Response:
    """How far sending is: always done."""
    _notices(body_fields())
    return jsonify(errcode=0, errmsg="ok", progress={"progress_in_percent": 100, "status": 2}, request_id=request_id())


@oapi.post(f"{FOLDER}/recall")
def recall() -> Response:
    """Take a notification back."""
    here, gone = world(), _notices(body_fields())
    with here.lock:
        here.notices[:] = [one for one in here.notices if one not in gone]
    return jsonify(errcode=0, errmsg="ok", request_id=request_id())


def _check_agent(fields: dict[str, Any]) -> None:
    if str(fields.get("agent_id")) != str(world().app.agent_id):
        raise Refused("400002", "agent_id错误")


def _content(message: object) -> tuple[str, str]:
    """Title and text of a markdown message, an action card or a plain text."""
    if not isinstance(message, dict):
        raise Refused("400002", "msg不能为空")
    if len(json.dumps(message, ensure_ascii=False).encode()) > LARGEST_MESSAGE:
        raise Refused("400002", "msg超过2048个字节")
    kind = message.get("msgtype")
    content = message.get(str(kind))
    names = {"markdown": ("title", "text"), "action_card": ("title", "markdown"), "text": ("content", "content")}
    if kind not in names or not isinstance(content, dict):
        raise Refused("400002", "不支持的msgtype")
    title, text = (content.get(name) for name in names[str(kind)])
    if not isinstance(title, str) or not isinstance(text, str) or not text or len(text) > LONGEST_MARKDOWN:
        raise Refused("400002", "消息内容为空或过长")
    return title, text


def _why_not(here: World, userid: str, text: str) -> str:
    """Why the notification will not arrive, or nothing."""
    user = here.users.get(userid)
    if user is None or not user.active:
        return "invalid"
    today = _day(here.clock.now_ms())
    same = any(
        one.userid == userid and one.text == text and _day(one.at) == today for one in here.notices if not one.refused
    )
    return "duplicate" if same else ""


def _notices(fields: dict[str, Any]) -> list[Notice]:
    _check_agent(fields)
    here = world()
    with here.lock:
        found = [one for one in here.notices if str(one.task_id) == str(fields.get("task_id"))]
    if not found:
        raise Refused("400002", "task_id不存在")
    return found


def _day(milliseconds: int) -> dt.date:
    return dt.datetime.fromtimestamp(milliseconds / 1000, CHINA).date()
