"""What both families of interfaces share: reading bodies, ordered faults, and approvals in either spelling."""

import datetime as dt
import secrets
import time
from collections.abc import Callable
from typing import Any

from flask import Response, current_app, request

from opsplatform.simulator.faults import Fault, Faults
from opsplatform.simulator.world import CHINA, Instance, Refused, World

SHUT_BOTH_WAYS = 2
BAN_PAGE = "<!DOCTYPE html><html><head><title>405</title></head><body>您的访问被阻断</body></html>"


def faults() -> Faults:
    """The faults ordered from the running simulator."""
    found: Faults = current_app.extensions["faults"]
    return found


def body_fields() -> dict[str, Any]:
    """The JSON object that was sent, or a refusal."""
    fields = request.get_json(force=True, silent=True)
    if not isinstance(fields, dict):
        raise Refused("invalidParameter", "请求体不是合法的JSON对象")
    return fields


def request_id() -> str:
    """A number for support, as every answer carries one."""
    return secrets.token_hex(8).upper()


def spoil_before(refuse: Callable[[str, str, int], Response]) -> Response | None:
    """Answer as an ordered fault says, if there is one for this call; `refuse` words an error of the family."""
    for kind in ("api.slow", "api.down", "api.html", "api.qps", "api.error"):
        fault = faults().take(kind, request.path)
        if fault is None:
            continue
        if kind == "api.slow":
            time.sleep(fault.seconds)
        else:
            return _spoiled(fault, refuse)
    return None


def spoil_after(response: Response) -> Response:
    """Lose the answer of a call that was carried out, when that fault was ordered."""
    if faults().take("api.lost", request.path):
        _hang_up()
    return response


def new_spelling(world: World, instance: Instance) -> dict[str, Any]:
    """An approval as the current family tells it: UTC, minutes only, numbers as task ids, and no template."""
    answer = {
        "title": instance.title,
        "createTime": _utc(instance.created),
        "originatorUserId": instance.originator.userid,
        "originatorDeptId": str(-1 if instance.dept_id == 1 else instance.dept_id),
        "originatorDeptName": world.departments.get(instance.dept_id, ""),
        "status": instance.status,
        "result": instance.result,
        "ccUserIds": [],
        "businessId": instance.business_id,
        "operationRecords": [
            {
                "userId": one.userid,
                "date": _utc(one.at),
                "type": one.type,
                "result": one.result,
                "remark": one.remark,
                "showName": one.show_name,
            }
            for one in instance.operations
        ],
        "tasks": [
            {
                "taskId": task.task_id,
                "userId": task.userid,
                "status": task.status,
                "result": task.result or "NONE",
                "createTime": _utc(task.created),
                **({"finishTime": _utc(task.finished)} if task.finished else {}),
                "processInstanceId": instance.id,
            }
            for task in instance.tasks
        ],
        "bizAction": instance.biz_action,
        "bizData": "{}",
        "attachedProcessInstanceIds": instance.attached,
        "mainProcessInstanceId": instance.main_id,
        "formComponentValues": instance.values,
    }
    if instance.finished:
        answer["finishTime"] = _utc(instance.finished)
    if instance.by_api:
        answer["approverUserIds"] = [userid for node in instance.flow for userid in node.userids]
    fault = faults().take("instance.rewrite", instance.id)
    return answer | (fault.fields if fault else {})


def old_spelling(world: World, instance: Instance) -> dict[str, Any]:
    """An approval as the old family tells it: China's time with seconds, everything a text, and no template."""
    answer = {
        "title": instance.title,
        "business_id": instance.business_id,
        "biz_action": instance.biz_action,
        "attached_process_instance_ids": instance.attached,
        "originator_userid": instance.originator.userid,
        "originator_dept_id": str(instance.dept_id),
        "originator_dept_name": world.departments.get(instance.dept_id, ""),
        "create_time": _local(instance.created),
        "status": instance.status,
        "result": instance.result,
        "cc_userids": [],
        "tasks": [
            {
                "taskid": str(task.task_id),
                "userid": task.userid,
                "task_status": task.status,
                "task_result": task.result or "NONE",
                "create_time": _local(task.created),
            }
            for task in instance.tasks
        ],
        "operation_records": [
            {
                "date": _local(one.at),
                "operation_type": one.type,
                "operation_result": one.result,
                "userid": one.userid,
                "remark": one.remark,
            }
            for one in instance.operations
        ],
        "form_component_values": [
            {OLD_NAMES.get(name, name): text for name, text in value.items()} for value in instance.values
        ],
    }
    if instance.finished:
        answer["finish_time"] = _local(instance.finished)
    return answer


OLD_NAMES = {"componentType": "component_type", "extValue": "ext_value", "bizAlias": "biz_alias"}


def _spoiled(fault: Fault, refuse: Callable[[str, str, int], Response]) -> Response:
    if fault.kind == "api.down":
        _hang_up()
        return Response(status=503)
    if fault.kind == "api.html":
        return Response(BAN_PAGE, status=fault.status, content_type="text/html;charset=utf-8")
    if fault.kind == "api.qps":
        return refuse("Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "您的服务器调用钉钉接口超过QPS限制", 403)
    return refuse(fault.code, "系统异常", fault.status)


def _hang_up() -> None:
    """Close the connection under the server, so that the caller gets no answer."""
    connection = request.environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(SHUT_BOTH_WAYS)


def _utc(milliseconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%dT%H:%MZ}"


def _local(milliseconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, CHINA):%Y-%m-%d %H:%M:%S}"
