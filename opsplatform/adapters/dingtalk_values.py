"""What DingTalk tells us about approvals and people, as plain values; its answers are read leniently."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHINA = dt.timezone(dt.timedelta(hours=8))
UNSET = frozenset({"", "null"})


@dataclass(frozen=True)
class FormValue:
    """One filled-in component of a form; `value` is None when the applicant left it empty."""

    id: str
    name: str
    value: str | None
    ext_value: str | None
    component_type: str
    biz_alias: str | None


@dataclass(frozen=True)
class Operation:
    """One thing somebody did to an approval."""

    userid: str
    at: dt.datetime | None
    type: str
    result: str
    show_name: str
    remark: str


@dataclass(frozen=True)
class Task:
    """One person's turn to decide."""

    task_id: str
    userid: str
    status: str
    result: str
    created_at: dt.datetime | None
    finished_at: dt.datetime | None


@dataclass(frozen=True)
class Instance:
    """An approval as it stands in DingTalk now; its template is not part of the answer."""

    instance_id: str
    title: str
    business_id: str
    status: str
    result: str
    originator_userid: str
    originator_dept_name: str
    created_at: dt.datetime | None
    finished_at: dt.datetime | None
    biz_action: str
    main_instance_id: str | None
    tasks: tuple[Task, ...]
    operations: tuple[Operation, ...]
    values: tuple[FormValue, ...]

    @property
    def approved(self) -> bool:
        """Whether it ended in agreement; a refusal ends COMPLETED too."""
        return self.status == "COMPLETED" and self.result == "agree"


@dataclass(frozen=True)
class Person:
    """An employee."""

    userid: str
    name: str
    unionid: str | None
    active: bool
    dept_ids: tuple[int, ...] = ()


def read_instance(instance_id: str, result: Mapping[str, Any]) -> Instance:
    """An approval from the `result` of the current interface."""
    return Instance(
        instance_id=instance_id,
        title=_text(result.get("title")),
        business_id=_text(result.get("businessId")),
        status=_text(result.get("status")).upper(),
        result=_text(result.get("result")).lower(),
        originator_userid=_text(result.get("originatorUserId")),
        originator_dept_name=_text(result.get("originatorDeptName")),
        created_at=read_time(result.get("createTime")),
        finished_at=read_time(result.get("finishTime")),
        biz_action=_text(result.get("bizAction")).upper() or "NONE",
        main_instance_id=_text(result.get("mainProcessInstanceId")) or None,
        tasks=tuple(_read_task(item) for item in _objects(result.get("tasks"))),
        operations=tuple(_read_operation(item) for item in _objects(result.get("operationRecords"))),
        values=tuple(_read_value(item) for item in _objects(result.get("formComponentValues"))),
    )


def read_person(result: Mapping[str, Any]) -> Person:
    """An employee from the `result` of topapi/v2/user/get, which prints lists and booleans as strings at times."""
    departments = result.get("dept_id_list") or []
    if isinstance(departments, str):
        departments = [part for part in departments.strip("[] ").split(",") if part]
    return Person(
        userid=_text(result.get("userid")),
        name=_text(result.get("name")),
        unionid=_text(result.get("unionid")) or None,
        active=str(result.get("active", True)).lower() == "true",
        dept_ids=tuple(int(item) for item in departments if str(item).strip().lstrip("-").isdecimal()),
    )


def read_time(value: object) -> dt.datetime | None:
    """A time in any of DingTalk's spellings; one that names no zone is China's, one we cannot read is None."""
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdecimal()):
            return dt.datetime.fromtimestamp(int(value) / 1000, dt.UTC)
        time = dt.datetime.fromisoformat(_text(value))
        return (time if time.tzinfo else time.replace(tzinfo=CHINA)).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def storable(text: str) -> str:
    """The text without what no database stores: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _read_task(item: Mapping[str, Any]) -> Task:
    return Task(
        task_id=_text(item.get("taskId")),
        userid=_text(item.get("userId")),
        status=_text(item.get("status")).upper(),
        result=_text(item.get("result")).upper(),
        created_at=read_time(item.get("createTime")),
        finished_at=read_time(item.get("finishTime")),
    )


def _read_operation(item: Mapping[str, Any]) -> Operation:
    return Operation(
        userid=_text(item.get("userId")),
        at=read_time(item.get("date")),
        type=_text(item.get("type")).upper(),
        result=_text(item.get("result")).upper(),
        show_name=_text(item.get("showName")),
        remark=_text(item.get("remark")),
    )


def _read_value(item: Mapping[str, Any]) -> FormValue:
    """One component; the string "null" is how DingTalk spells a field left empty."""
    value, ext_value = _text(item.get("value")), _text(item.get("extValue"))
    return FormValue(
        id=_text(item.get("id")),
        name=_text(item.get("name")),
        value=None if value in UNSET else value,
        ext_value=None if ext_value in UNSET else ext_value,
        component_type=_text(item.get("componentType")),
        biz_alias=_text(item.get("bizAlias")) or None,
    )


def _text(value: object) -> str:
    """The value as text: None is empty, a structure is JSON."""
    if value is None:
        return ""
    return storable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _objects(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of a list; anything else is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
