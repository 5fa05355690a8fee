"""Form values as DingTalk takes them and as it gives them back, which differ for most kinds of component."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from opsplatform.simulator.world import Component, Refused, World

LONGEST_VALUE = 65535
UNSET = "null"  # how a field that was left empty comes back
CANNOT_BE_SENT = "TextNote"


@dataclass(frozen=True)
class Returned:
    """A value as it is given back; `ext` is a structure or nothing."""

    value: str
    ext: Any = None


def fill_in(
    world: World, components: Sequence[Component], sent: Sequence[Mapping[str, Any]], *, checked: bool = True
) -> list[dict[str, Any]]:
    """The `formComponentValues` of an approval made from what was sent.

    Unchecked forms let missing required fields and unknown options pass, as an edited template may.
    """
    by_component = _match(components, sent)
    return [
        {
            "id": component.id,
            "name": component.label,
            "value": returned.value,
            "componentType": component.type,
            **({"bizAlias": component.biz_alias} if component.biz_alias else {}),
            **({"extValue": json.dumps(returned.ext, ensure_ascii=False)} if returned.ext is not None else {}),
        }
        for component in components
        if component.type != CANNOT_BE_SENT
        for returned in [_returned(world, component, by_component.get(component.id), checked=checked)]
    ]


def _match(components: Sequence[Component], sent: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What was sent, by component id."""
    found: dict[str, str] = {}
    for item in sent:
        component = next((one for one in components if _names(item, one)), None)
        if component is None or component.type == CANNOT_BE_SENT:
            raise Refused("illegalComponent", f"非法的表单控件: {item.get('name') or item.get('id')}")
        value = item.get("value")
        if not isinstance(value, str) or len(value) > LONGEST_VALUE:
            raise _wrong(component)
        found[component.id] = value
    return found


def _names(item: Mapping[str, Any], component: Component) -> bool:
    """Whether a sent value is meant for the component, by id, alias or label."""
    if item.get("id"):
        return bool(item["id"] == component.id)
    if item.get("bizAlias"):
        return bool(item["bizAlias"] == component.biz_alias)
    return bool(item.get("name") == component.label)


def _returned(world: World, component: Component, value: str | None, *, checked: bool) -> Returned:
    if not value:
        if component.required and checked:
            raise _wrong(component)
        return Returned(_empty_table(component) if component.type == "TableField" else UNSET)
    if component.type == "TableField":
        return _table(world, component, value, checked=checked)
    try:
        if component.type in DIRECTORY_FORMATS:
            return DIRECTORY_FORMATS[component.type](world, component, value)
        return FORMATS.get(component.type, _as_it_is)(component, value)
    except Refused:
        if checked:
            raise
        return Returned(value)


def _as_it_is(_component: Component, value: str) -> Returned:
    return Returned(value)


def _number(component: Component, value: str) -> Returned:
    try:
        finite = Decimal(value).is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise _wrong(component)
    return Returned(value)


def _money(component: Component, value: str) -> Returned:
    _number(component, value)
    return Returned(value, {"upper": "", "componentName": "MoneyField"})


def _select(component: Component, value: str) -> Returned:
    return Returned(value, _option(component, value))


def _multi_select(component: Component, value: str) -> Returned:
    return Returned(value, [_option(component, label) for label in _texts(component, value)])


def _date_range(component: Component, value: str) -> Returned:
    ends = _texts(component, value)
    if len(ends) != 2:  # noqa: PLR2004 - a beginning and an end
        raise _wrong(component)
    return Returned(json.dumps([*ends, None], ensure_ascii=False))


def _contacts(world: World, component: Component, value: str) -> Returned:
    """User ids go in; names come back, and the ids only in the extension."""
    found = [world.users.get(userid) for userid in _texts(component, value)]
    people = [person for person in found if person is not None and person.active]
    if len(people) != len(found):
        raise _wrong(component)
    blank = {"avatar": "", "selectDeptName": "", "selectDeptId": ""}
    ext = [{"emplId": person.userid, "name": person.name, **blank} for person in people]
    return Returned(",".join(person.name for person in people), ext)


def _departments(world: World, component: Component, value: str) -> Returned:
    ids = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) in world.departments for part in ids):
        raise _wrong(component)
    names = [world.departments[int(part)] for part in ids]
    return Returned(",".join(names), [{"id": part, "name": name} for part, name in zip(ids, names, strict=True)])


def _pictures(component: Component, value: str) -> Returned:
    _texts(component, value)
    return Returned(value)


def _attachments(component: Component, value: str) -> Returned:
    """The size is sent as a text and comes back as a number."""
    files = _json_list(component, value)
    if not all(isinstance(file, dict) and str(file.get("fileSize", "0")).isdecimal() for file in files):
        raise _wrong(component)
    return Returned(json.dumps([{**file, "fileSize": int(file.get("fileSize", 0))} for file in files]))


FORMATS: dict[str, Callable[[Component, str], Returned]] = {
    "NumberField": _number,
    "MoneyField": _money,
    "DDSelectField": _select,
    "DDMultiSelectField": _multi_select,
    "DDDateRangeField": _date_range,
    "DDPhotoField": _pictures,
    "DDAttachment": _attachments,
}
DIRECTORY_FORMATS: dict[str, Callable[[World, Component, str], Returned]] = {
    "InnerContactField": _contacts,
    "DepartmentField": _departments,
}


def _table(world: World, component: Component, value: str, *, checked: bool) -> Returned:
    """Rows go in as lists of name and value; objects of key and value are refused, as DingTalk does."""
    rows = _json_list(component, value)
    if not all(
        isinstance(row, list) and all(isinstance(cell, dict) and "name" in cell for cell in row) for row in rows
    ):
        raise Refused("systemError", "系统错误", status=500)
    if not rows:
        return Returned(_empty_table(component))
    returned = [
        {"rowNumber": f"{component.id}_{number}", "rowValue": _row(world, component, row, checked=checked)}
        for number, row in enumerate(rows, 1)
    ]
    ext = {"statValue": [], "componentName": "TableField"}
    return Returned(json.dumps(returned, ensure_ascii=False), ext)


def _row(world: World, table: Component, cells: list[dict[str, Any]], *, checked: bool) -> list[dict[str, Any]]:
    """The filled-in cells of one row; empty ones are left out."""
    by_component = _match(table.children, cells)
    row = []
    for child in table.children:
        returned = _returned(world, child, by_component.get(child.id), checked=checked)
        if returned.value == UNSET:
            continue
        cell = {"componentType": child.type, "label": child.label, "value": returned.value, "key": child.id}
        row.append(cell if returned.ext is None else {**cell, "extendValue": returned.ext})
    return row


def _empty_table(component: Component) -> str:
    """A table without rows comes back as the description of its columns."""
    columns = [
        {
            "componentName": child.type,
            "componentType": child.type,
            "props": {
                "id": child.id,
                "label": child.label,
                "required": child.required,
                "options": [json.dumps({"value": option}, ensure_ascii=False) for option in child.options],
            },
        }
        for child in component.children
    ]
    return json.dumps(columns, ensure_ascii=False)


def _option(component: Component, label: str) -> dict[str, str]:
    if label not in component.options:
        raise _wrong(component)
    return {"label": label, "key": f"option_{component.options.index(label)}"}


def _texts(component: Component, value: str) -> list[str]:
    items = _json_list(component, value)
    if not all(isinstance(item, str) for item in items):
        raise _wrong(component)
    return items


def _json_list(component: Component, value: str) -> list[Any]:
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise _wrong(component)
    return items


def _wrong(component: Component) -> Refused:
    return Refused("formConverterError", f"表单数据校验失败，失败控件：{component.label}")
