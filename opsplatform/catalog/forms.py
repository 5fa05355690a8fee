"""Values of a DingTalk form as typed values: one parser per kind of component.

What people typed is only ever data: it is normalised (NFKC, trimmed), bounded and typed, never interpreted.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.catalog.offers import FormField
from opsplatform.catalog.texts import Mismatch, normalise, typed
from opsplatform.catalog.types import Schema

MOST_ROWS = 1000
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}(:\d{2})?)?", re.ASCII)
_KEY_COLUMNS = ("key", "键", "名称", "name")
_VALUE_COLUMNS = ("value", "值")


class Cell:
    """One component, or one cell of a table, ready to be read."""

    def __init__(self, kind: str, value: object, ext: object, label: str = "", key: str = "") -> None:
        self.kind = kind
        self.label = label
        self.key = key
        self.text = _set_text(value)
        self.ext = _json_or_none(ext)

    @classmethod
    def of_row(cls, raw: Mapping[str, Any]) -> "Cell":
        """A cell of a table row, which uses names of its own."""
        kind, label, key = (str(raw.get(name) or "") for name in ("componentType", "label", "key"))
        return cls(kind, raw.get("value"), raw.get("extendValue"), label, key)


def read_component(value: FormValue, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401 - any JSON value
    """The component's value as the schema wants it; None when nothing was filled in; Mismatch says why not."""
    kind = value.component_type or (entry.type if entry else "TextField")
    return _read(Cell(kind, value.value, value.ext_value), schema, entry)


def find_component(reference: str, values: Sequence[FormValue]) -> FormValue | None:
    """The component by id, else by alias, else by label."""
    label = normalise(reference)
    for wanted, names in (
        (reference, [value.id for value in values]),
        (reference, [value.biz_alias for value in values]),
        (label, [normalise(value.name or "") for value in values]),
    ):
        if names.count(wanted) > 1:
            raise Mismatch(f"表单里有多个控件叫 {reference} / more than one component is called {reference}")
        if wanted in names:
            return values[names.index(wanted)]
    return None


def _read(cell: Cell, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    if cell.text is None or cell.kind == "TextNote":
        return None
    parser = _PARSERS.get(cell.kind)
    return typed(cell.text, schema) if parser is None else parser(cell, schema, entry)


def _set_text(value: object) -> str | None:
    """The text of a field; unset fields come as nothing, as an empty text, and as the text null."""
    if value is None:
        return None
    text = normalise(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return None if text in {"", "null"} else text


def _json_or_none(value: object) -> Any:  # noqa: ANN401
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _list_in(text: str) -> list[Any]:
    found = _json_or_none(text)
    if not isinstance(found, list):
        raise Mismatch("控件的值不是列表 / the component's value is not a list")
    return found


def _choice(label: object, ext: object, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    """The value behind an option: by its key, which stays when labels change, else by its label."""
    text = normalise(str(label))
    options = {normalise(name): behind for name, behind in entry.options.items()} if entry else {}
    key = ext.get("key") if isinstance(ext, dict) else None
    if isinstance(key, str) and key in options:
        return options[key]
    return options[text] if text in options else typed(text, schema)


def _select(cell: Cell, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    return _choice(cell.text, cell.ext, schema, entry)


def _multi_select(cell: Cell, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    labels = _list_in(cell.text or "")
    behind = cell.ext if isinstance(cell.ext, list) and len(cell.ext) == len(labels) else [None] * len(labels)
    inner = items_of(schema)
    return _one_or_many([_choice(label, ext, inner, entry) for label, ext in zip(labels, behind, strict=True)], schema)


def _date(cell: Cell, schema: Schema, _entry: FormField | None) -> Any:  # noqa: ANN401
    return typed(_as_date(cell.text), schema)


def _date_range(cell: Cell, schema: Schema, _entry: FormField | None) -> Any:  # noqa: ANN401
    """Begin and end; the third item, a duration, is DingTalk's own."""
    dates = [_as_date(item) for item in _list_in(cell.text or "")[:2]]
    if len(dates) != 2:  # noqa: PLR2004 - begin and end
        raise Mismatch("需要开始和结束日期 / needs a first and a last day")
    if schema.get("type") == "object":
        return dict(zip(schema.get("properties", {}), dates, strict=False))
    return _one_or_many(dates, schema)


def _as_date(value: object) -> str:
    text = normalise(str(value))
    if not _DATE.fullmatch(text) or not _on_the_calendar(text):
        raise Mismatch("不是日期 (2025-05-27 或 2025-05-27 10:00) / is not a date")
    return text


def _on_the_calendar(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _contact(cell: Cell, schema: Schema, _entry: FormField | None) -> Any:  # noqa: ANN401
    """People by user id; what stands in the value are only their names."""
    return _ids(cell, ("emplId",), schema)


def _department(cell: Cell, schema: Schema, _entry: FormField | None) -> Any:  # noqa: ANN401
    return _ids(cell, ("itemId", "id"), schema)


def _ids(cell: Cell, names: tuple[str, ...], schema: Schema) -> Any:  # noqa: ANN401
    behind = cell.ext if isinstance(cell.ext, list) else [cell.ext]
    found = [str(item[name]) for item in behind if isinstance(item, dict) for name in names if item.get(name)]
    if not found:
        raise Mismatch("钉钉没有给出所选人员或部门的编号 / DingTalk gave no id of who was chosen")
    inner = items_of(schema)
    return _one_or_many([typed(normalise(identity), inner) for identity in found], schema)


def items_of(schema: Schema) -> Schema:
    """The schema of one item, or the schema itself where only one is wanted."""
    items = schema.get("items", {}) if schema.get("type") == "array" else schema
    return items if isinstance(items, dict) else {}


def _one_or_many(found: list[Any], schema: Schema) -> Any:  # noqa: ANN401
    if schema.get("type") in {"array", None}:
        return found
    if len(found) != 1:
        raise Mismatch("只能选一项 / only one may be chosen")
    return found[0]


def _refused(_cell: Cell, _schema: Schema, _entry: FormField | None) -> Any:  # noqa: ANN401
    raise Mismatch(
        "附件、图片和关联审批单不能作为输入 / attachments, pictures and related approvals cannot be an input"
    )


def _table(cell: Cell, schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    """Rows of cells; a table nobody filled in comes as the description of its columns, without any row."""
    found = [row["rowValue"] for row in _list_in(cell.text or "") if isinstance(row, dict) and "rowValue" in row]
    if len(found) > MOST_ROWS:
        raise Mismatch(f"表格最多 {MOST_ROWS} 行 / a table takes at most {MOST_ROWS} rows")
    rows = [[Cell.of_row(raw) for raw in row if isinstance(raw, dict)] for row in found if isinstance(row, list)]
    rows = [row for row in rows if any(one.text is not None for one in row)]
    if not rows:
        return None
    if schema.get("type") == "object" and "properties" not in schema:
        return _map(rows, schema, entry)
    if schema.get("type") != "array":
        raise Mismatch("这个输入不能用表格填写 / this input cannot be filled from a table")
    return [_row(row, items_of(schema), entry) for row in rows]


def _map(rows: list[list[Cell]], schema: Schema, entry: FormField | None) -> dict[str, Any]:
    """A table of two columns as a map."""
    columns = entry.columns if entry else {}
    inner = schema.get("additionalProperties", {})
    found: dict[str, Any] = {}
    for row in rows:
        key = _cell(row, (columns.get("key"), *_KEY_COLUMNS))
        value = _cell(row, (columns.get("value"), *_VALUE_COLUMNS))
        if key is None or key.text is None:
            raise Mismatch("表格有一行没有填写键 / a row of the table has no key")
        if key.text in found:
            raise Mismatch(f"键 {key.text} 重复 / the key {key.text} stands there twice")
        empty = "" if inner.get("type", "string") == "string" else None
        found[key.text] = empty if value is None or value.text is None else _read(value, inner, None)
    return found


def _row(row: list[Cell], schema: Schema, entry: FormField | None) -> Any:  # noqa: ANN401
    """One row as an object, or as a plain value where the table has one column."""
    if schema.get("type") != "object":
        filled = [cell for cell in row if cell.text is not None]
        if len(filled) != 1:
            raise Mismatch("表格只能有一列 / the table must have one column")
        return _read(filled[0], schema, None)
    columns = entry.columns if entry else {}
    found: dict[str, Any] = {}
    for name, inner in schema.get("properties", {}).items():
        cell = _cell(row, (columns.get(name), name))
        value = None if cell is None else _read(cell, inner, None)
        if value is not None:
            found[name] = value
    return found


def _cell(row: list[Cell], names: Sequence[str | None]) -> Cell | None:
    """The cell whose column has one of these ids or labels; a table comes with its labels normalised too."""
    for name in names:
        for cell in row:
            if name and normalise(name) in {cell.key, cell.label}:
                return cell
    return None


_PARSERS: dict[str, Callable[[Cell, Schema, FormField | None], Any]] = {
    "DDSelectField": _select,
    "DDMultiSelectField": _multi_select,
    "DDDateField": _date,
    "DDDateRangeField": _date_range,
    "InnerContactField": _contact,
    "DepartmentField": _department,
    "TableField": _table,
    "DDAttachment": _refused,
    "DDPhotoField": _refused,
    "RelateField": _refused,
}
