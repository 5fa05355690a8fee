"""The rules of an approval: submit, decide, withdraw, delete, comment; each step says what is to be pushed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsplatform.simulator.values import fill_in
from opsplatform.simulator.world import LONGEST_TEXT, Event, Instance, Node, Operation, Refused, Task, User, World

ROOT_DEPARTMENT = -1  # how the current interface spells department 1
NOT_BEFORE_MS = 15_000  # an approval cannot be ended by a program right after it was submitted
MOST_NODES = 20
MOST_VALUES = 150


@dataclass(frozen=True)
class Form:
    """What an applicant submits; without `flow` the template says who approves."""

    process_code: str
    userid: str
    values: Sequence[Mapping[str, Any]]
    dept_id: int | None = None
    flow: Sequence[Node] = ()
    by_api: bool = False
    checked: bool = True
    biz_action: str = "NONE"
    main_id: str = ""


def submit(world: World, form: Form) -> Instance:
    """Start an approval."""
    with world.lock:
        template = world.templates.get(form.process_code)
        if template is None or not template.enabled:
            raise Refused("processCodeError", "审批模板不存在或已停用")
        originator = world.employee(form.userid, "invalidParameter")
        if len(form.flow) > MOST_NODES or len(form.values) > MOST_VALUES:
            raise Refused("invalidParameter", "参数错误")
        flow = list(form.flow or template.flow)
        for userid in (userid for node in flow for userid in node.userids):
            world.employee(userid, "processInstanceInvalidParameter")
        now = world.clock.now_ms()
        instance = Instance(
            id=world.new_instance_id(),
            business_id=world.new_business_id(),
            template=template,
            title=f"{originator.name}提交的{template.name}",
            originator=originator,
            dept_id=_department(originator, form.dept_id),
            values=fill_in(world, template.components, form.values, checked=form.checked),
            flow=flow,
            created=now,
            by_api=form.by_api,
            operations=[Operation(originator.userid, now, "START_PROCESS_INSTANCE", show_name="提交人")],
            biz_action=form.biz_action,
            main_id=form.main_id,
        )
        if form.main_id:
            world.instance(form.main_id).attached.append(instance.id)
        world.instances[instance.id] = instance
        world.publish([_instance_event(world, instance, "start"), *_start_step(world, instance)])
        return instance


def decide(
    world: World, instance_id: str, result: str, *, userid: str = "", task_id: int | None = None, remark: str = ""
) -> Instance:
    """Take a person's turn: `agree` or `refuse`. Without a person, the first one whose turn it is."""
    with world.lock:
        instance = _running(world, instance_id)
        task = _turn_of(instance, userid, task_id)
        _finish_task(world, task, result.upper())
        operation = Operation(
            task.userid, world.clock.now_ms(), "EXECUTE_TASK_NORMAL", result.upper(), remark, "审批人"
        )
        instance.operations.append(operation)
        events = [_task_event(world, instance, task, "finish", result=result, remark=remark)]
        if result == "refuse":
            events += [*_cancel_tasks(world, instance), _finish(world, instance, "COMPLETED", "refuse")]
        elif not instance.running_tasks() or instance.flow[instance.step].action == "OR":
            events += [*_cancel_tasks(world, instance), *_next_step(world, instance)]
        world.publish(events)
        return instance


def redirect(world: World, instance_id: str, to: str, *, userid: str = "") -> Instance:
    """Hand a person's turn to another one."""
    with world.lock:
        instance = _running(world, instance_id)
        task, heir = _turn_of(instance, userid, None), world.employee(to)
        _finish_task(world, task, "REDIRECTED")
        instance.operations.append(Operation(task.userid, world.clock.now_ms(), "REDIRECT_TASK"))
        new = _new_task(world, instance, heir.userid)
        events = [_task_event(world, instance, task, "finish", result="redirect")]
        world.publish([*events, _task_event(world, instance, new, "start")])
        return instance


def withdraw(world: World, instance_id: str, *, userid: str = "", remark: str = "") -> Instance:
    """End a running approval, as its originator does with a button."""
    with world.lock:
        instance = _running(world, instance_id)
        userid = userid or instance.originator.userid
        operation = Operation(userid, world.clock.now_ms(), "TERMINATE_PROCESS_INSTANCE", remark=remark)
        instance.operations.append(operation)
        canceled = _cancel_tasks(world, instance)
        world.publish([*canceled, _finish(world, instance, "TERMINATED", "")])
        return instance


def terminate(world: World, instance_id: str, *, is_system: bool, userid: str, remark: str) -> None:
    """End a running approval, as a program does, under the stricter rules for programs."""
    with world.lock:
        instance = _running(world, instance_id)
        if not is_system and world.employee(userid) is not instance.originator:
            raise Refused("invalidInstanceTerminateOperatingUserId", "只有发起人可以撤销审批")
        if len(remark) > LONGEST_TEXT:
            raise Refused("invalidParameter", "撤销说明过长")
        if world.clock.now_ms() - instance.created < NOT_BEFORE_MS:
            raise Refused("aflowProcessInstStatusException", "审批实例发起15秒内不能撤销")
        if not instance.template.can_withdraw:
            raise Refused("internalError", "该审批模板不允许撤销")
        withdraw(world, instance_id, userid=userid, remark=remark)


def delete(world: World, instance_id: str) -> None:
    """Remove an approval; nothing can be read about it afterwards."""
    with world.lock:
        instance = world.instance(instance_id)
        del world.instances[instance_id]
        event = _instance_event(world, instance, "delete")
        for name in ("url", "businessType"):
            event.fields.pop(name)
        world.publish([event])


def comment(world: World, instance_id: str, userid: str, text: str) -> None:
    """Write a comment, which only an employee can."""
    with world.lock:
        instance = world.instance(instance_id)
        if not userid:
            raise Refused("invalidInstanceCommentUserId", "评论人不能为空")
        author = world.employee(userid)
        if not text or len(text.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST_TEXT:
            raise Refused("invalidInstanceCommentText", "评论内容为空或超过1024个字符")
        instance.operations.append(Operation(author.userid, world.clock.now_ms(), "ADD_REMARK", remark=text))


def _department(user: User, dept_id: int | None) -> int:
    """The department the form is submitted for; the applicant must belong to it."""
    if dept_id is None:
        return user.dept_ids[0]
    wanted = 1 if dept_id == ROOT_DEPARTMENT else dept_id
    if wanted not in user.dept_ids:
        raise Refused("processInstanceInvalidParameter", "发起人不在所选部门中")
    return wanted


def _running(world: World, instance_id: str) -> Instance:
    instance = world.instance(instance_id)
    if instance.status != "RUNNING":
        raise Refused("aflowProcessInstStatusException", "审批实例已结束")
    return instance


def _turn_of(instance: Instance, userid: str, task_id: int | None) -> Task:
    """The running task of a person, or the one with an id."""
    if task_id is not None and task_id not in {task.task_id for task in instance.tasks}:
        raise Refused("invalidInstanceExecuteTaskId", "任务不存在")
    for task in instance.running_tasks():
        if userid in {"", task.userid} and task_id in {None, task.task_id}:
            return task
    raise Refused("aflowProcessInstCanNotBeExecuted", "该员工当前没有待处理的任务")


def _start_step(world: World, instance: Instance) -> list[Event]:
    """Give everybody of the current step their turn."""
    tasks = [_new_task(world, instance, userid) for userid in instance.flow[instance.step].userids]
    return [_task_event(world, instance, task, "start") for task in tasks]


def _next_step(world: World, instance: Instance) -> list[Event]:
    """Go on to the next step, or end in agreement after the last."""
    if instance.step + 1 < len(instance.flow):
        instance.step += 1
        return _start_step(world, instance)
    return [_finish(world, instance, "COMPLETED", "agree")]


def _new_task(world: World, instance: Instance, userid: str) -> Task:
    """A turn; DingTalk dates it a second after what led to it."""
    task = Task(world.next_task_id(), userid, world.clock.now_ms() + 1000)
    instance.tasks.append(task)
    return task


def _finish_task(world: World, task: Task, result: str) -> None:
    task.status, task.result, task.finished = "COMPLETED", result, world.clock.now_ms()


def _cancel_tasks(world: World, instance: Instance) -> list[Event]:
    """Take everybody's turn away who has not used it."""
    canceled = instance.running_tasks()
    for task in canceled:
        task.status, task.finished = "CANCELED", world.clock.now_ms()
    return [_task_event(world, instance, task, "cancel") for task in canceled]


def _finish(world: World, instance: Instance, status: str, result: str) -> Event:
    instance.status, instance.result, instance.finished = status, result, world.clock.now_ms()
    return _instance_event(world, instance, "finish" if result else "terminate")


def _instance_event(world: World, instance: Instance, kind: str) -> Event:
    """What is pushed about an approval; only an end names its time, only a normal one its result."""
    fields = _common(world, instance, kind) | {"staffId": instance.originator.userid, "createTime": instance.created}
    if kind in {"finish", "terminate"}:
        fields["finishTime"] = instance.finished
    if kind == "finish":
        fields["result"] = instance.result
    return Event("bpms_instance_change", instance.id, fields, world.clock.now_ms())


def _task_event(
    world: World, instance: Instance, task: Task, kind: str, *, result: str = "", remark: str = ""
) -> Event:
    """What is pushed about a person's turn."""
    fields = _common(world, instance, kind) | {
        "staffId": task.userid,
        "taskId": task.task_id,
        "createTime": task.created,
    }
    if task.finished is not None:
        fields["finishTime"] = task.finished
    if result:
        fields |= {"result": result, "remark": remark}
    return Event("bpms_task_change", instance.id, fields, world.clock.now_ms())


def _common(world: World, instance: Instance, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "processInstanceId": instance.id,
        "processCode": instance.template.process_code,
        "businessId": instance.business_id,
        "title": instance.title,
        "bizCategoryId": "",
        "businessType": "",
        "url": f"https://aflow.dingtalk.com/dingtalk/mobile/homepage.htm?corpid={world.app.corp_id}&dd_share=false",
    }
