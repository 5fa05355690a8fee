"""Inputs as the values of a DingTalk form: `forms.py` backwards, one writer per kind of component.

Whatever is written is read back before it leaves, so that a form never says anything else than what was asked.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.catalog.forms import items_of, read_component
from opsplatform.catalog.modules import ENVIRONMENT, Module
from opsplatform.catalog.offers import FormField
from opsplatform.catalog.orders import FormRefused, environment_reference, label_of, make_order, offer_of
from opsplatform.catalog.texts import Mismatch, clean
from opsplatform.catalog.types import Schema
from opsplatform.core.errors import InvalidParams

Sent = dict[str, str]
Row = list[tuple[str, str]]  # the column's id or label, and the text of its cell

TRUE, FALSE = "是", "否"
KEY_COLUMN, VALUE_COLUMN = "键", "值"
_COMPONENT_ID = re.compile(r"(DD)?[A-Z][A-Za-z]*Field[-_][A-Za-z0-9_-]+", re.ASCII)
_OPTION_KEY = re.compile(r"option_[A-Za-z0-9]+", re.ASCII)


@dataclass(frozen=True)
class Written:
    """A component's value as it is sent, and as DingTalk gives it back where that differs; empty is not sent."""

    text: str
    returned: str | None = None
    ext: Any = None


def fill(
    module: Module, fields: Mapping[str, str], inputs: Mapping[str, Any], environment: str | None
) -> list[dict[str, str]]:
    """The filled-in components of the module's form, or InvalidParams with everything that does not fit."""
    cleaned = {name: _cleaned(value) for name, value in inputs.items()}
    errors = _errors(module, cleaned, environment)
    sent: list[Sent] = []
    for name in module.inputs["properties"]:
        if cleaned.get(name) is None or f"variables.{name}" in errors:
            continue
        try:
            sent += _component(module, name, fields, cleaned[name])
        except Mismatch as error:
            errors[f"variables.{name}"] = [f"{label_of(module, name)}: {error}"]
    if errors:
        raise InvalidParams(errors)
    return sent + _environment(module, fields, environment)


def write_component(value: Any, schema: Schema, entry: FormField | None) -> str:  # noqa: ANN401 - any JSON value
    """The text to send for a value, empty when the component is left out; Mismatch when the form cannot say it."""
    kind = entry.type if entry else "TextField"
    written = _WRITERS.get(kind, _text)(value, schema, entry)
    if not _reads_as(written, value, schema, FormField(label="x", type=kind) if entry is None else entry):
        raise Mismatch(
            "表单不能原样表达这个值（例如空文本、null，或太长）"
            " / the form cannot say this value as it is (it may be empty, null or too long)"
        )
    return written.text


def _cleaned(value: Any) -> Any:  # noqa: ANN401
    """The value as it would come from a form; what cannot be cleaned is left to the check, which says why."""
    try:
        return clean(value)
    except Mismatch:
        return value


def _errors(module: Module, inputs: Mapping[str, Any], environment: str | None) -> dict[str, list[str]]:
    """What does not fit the module, by param."""
    errors: dict[str, list[str]] = {}
    try:
        make_order(module, inputs, None)
    except FormRefused as refused:
        errors = {f"variables.{name}": sentences for name, sentences in refused.errors.items()}
    offer = offer_of(module)
    allowed = offer.environments if offer.environment_field is not None else offer.environments[:1]
    if environment is not None and environment not in allowed:
        names = ", ".join(allowed)
        errors[ENVIRONMENT] = [f"只能是 {names} / must be {names if len(allowed) == 1 else f'one of {names}'}"]
    return errors


def _component(module: Module, name: str, fields: Mapping[str, str], value: Any) -> list[Sent]:  # noqa: ANN401
    """The component of an input; none when the form says the same by staying empty."""
    if name not in fields:
        raise Mismatch("表单里没有它的控件，不能填写 / the form has no component for it, so it cannot be given")
    entry = offer_of(module).form.get(name)
    text = write_component(value, module.inputs["properties"][name], entry)
    alias = entry.biz_alias if entry else None
    component = entry.component if entry else None
    address = _address(fields[name], entry.label if entry else name, component=component, alias=alias)
    return [{**address, "value": text}] if text else []


def _environment(module: Module, fields: Mapping[str, str], environment: str | None) -> list[Sent]:
    """The component that chooses the environment, where the form has one."""
    offer = offer_of(module)
    entry, wanted = offer.environment_field, environment or offer.environments[0]
    if entry is None or (wanted == offer.environments[0] and ENVIRONMENT not in fields):
        return []
    reference = fields.get(ENVIRONMENT) or environment_reference(entry)
    label = next((label for label, behind in entry.options.items() if behind == wanted), wanted)
    return [{**_address(reference, entry.label, component=entry.component), "value": label}]


def _address(reference: str, label: str, *, component: str | None = None, alias: str | None = None) -> Sent:
    """How DingTalk finds a component: `name` is always asked for, an id or alias goes before it."""
    if reference == component or _COMPONENT_ID.fullmatch(reference):
        return {"id": reference, "name": label}
    if reference == alias:
        return {"bizAlias": reference, "name": label}
    return {"name": reference}


def _reads_as(written: Written, value: Any, schema: Schema, entry: FormField) -> bool:  # noqa: ANN401
    """Whether the form, once it is read, orders the same."""
    returned = written.text if written.returned is None else written.returned
    ext = None if written.ext is None else json.dumps(written.ext)
    try:
        found = read_component(FormValue("", "", returned, ext, entry.type, None), schema, entry)
    except Mismatch:
        return False
    return bool(_completed(found, schema) == _completed(value, schema))


def _completed(value: Any, schema: Schema) -> Any:  # noqa: ANN401
    """The value with the defaults Terraform adds, so that leaving out a default is no difference."""
    if value is None:
        return schema.get("default")
    if isinstance(value, list):
        return [_completed(item, items_of(schema)) for item in value]
    if isinstance(value, dict) and "properties" in schema:
        return {name: _completed(value.get(name), inner) for name, inner in schema["properties"].items()}
    return value


def _plain(value: Any) -> str:  # noqa: ANN401
    """One value as a person would type it; structures as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int | float):
        return format(Decimal(repr(value)), "f")  # a form takes no exponents
    return json.dumps(value, ensure_ascii=False)


def _many(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


def _json(items: list[Any]) -> str:
    """A list as DingTalk takes it; an empty one leaves the component empty."""
    return json.dumps(items, ensure_ascii=False) if items else ""


def _text(value: Any, _schema: Schema, _entry: FormField | None) -> Written:  # noqa: ANN401
    return Written(_plain(value))


def _lines(value: Any, _schema: Schema, _entry: FormField | None) -> Written:  # noqa: ANN401
    """A list of texts as one item a line, which approvers read best; where that would be misread, as JSON."""
    if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
        text = "\n".join(value)
        if text.splitlines() == value and not text.startswith("["):
            return Written(text)
    return Written(_plain(value))


def _select(value: Any, _schema: Schema, entry: FormField | None) -> Written:  # noqa: ANN401
    return Written(_label(value, entry))


def _multi_select(value: Any, _schema: Schema, entry: FormField | None) -> Written:  # noqa: ANN401
    return Written(_json([_label(item, entry) for item in _many(value)]))


def _label(value: Any, entry: FormField | None) -> str:  # noqa: ANN401
    """The label of the option that stands for a value; DingTalk takes labels only."""
    labels = [label for label, behind in (entry.options if entry else {}).items() if behind == value]
    known = [label for label in labels if not _OPTION_KEY.fullmatch(label)]
    if labels and not known:
        raise Mismatch(
            "offer.yaml 只写了这个选项的 key，没有写名称 / offer.yaml names the key of this option and not its label"
        )
    return known[0] if known else _plain(value)


def _date_range(value: Any, schema: Schema, _entry: FormField | None) -> Written:  # noqa: ANN401
    ends = [value.get(name) for name in schema.get("properties", {})] if isinstance(value, dict) else _many(value)
    return Written(_json(ends))


def _contact(value: Any, _schema: Schema, _entry: FormField | None) -> Written:  # noqa: ANN401
    """User ids; what comes back are names, and the ids beside them."""
    ids = [_plain(item) for item in _many(value)]
    return Written(_json(ids), ext=[{"emplId": one} for one in ids])


def _department(value: Any, _schema: Schema, _entry: FormField | None) -> Written:  # noqa: ANN401
    text = ",".join(_plain(item) for item in _many(value))
    return Written(text, ext=[{"id": one} for one in text.split(",")])


def _table(value: Any, _schema: Schema, entry: FormField | None) -> Written:  # noqa: ANN401
    """Rows of named cells; empty cells are left out, as DingTalk does when it gives them back."""
    rows = [[(column, text) for column, text in row if text] for row in _rows(value, entry.columns if entry else {})]
    sent = [[{**_address(column, column), "value": text} for column, text in row] for row in rows]
    returned = [
        {"rowValue": [{"componentType": "TextField", "label": column, "value": text} for column, text in row]}
        for row in rows
    ]
    return Written(_json(sent), returned=_json(returned))


def _rows(value: Any, columns: Mapping[str, str]) -> list[Row]:  # noqa: ANN401
    if isinstance(value, dict):
        key, content = columns.get("key", KEY_COLUMN), columns.get("value", VALUE_COLUMN)
        return [[(key, name), (content, _plain(item))] for name, item in value.items()]
    only = next(iter(columns.values()), VALUE_COLUMN)
    return [_row(item, columns) if isinstance(item, dict) else [(only, _plain(item))] for item in _many(value)]


def _row(item: dict[str, Any], columns: Mapping[str, str]) -> Row:
    return [(columns.get(name, name), _plain(part)) for name, part in item.items() if part is not None]


_WRITERS: dict[str, Callable[[Any, Schema, FormField | None], Written]] = {
    "TextareaField": _lines,
    "DDSelectField": _select,
    "DDMultiSelectField": _multi_select,
    "DDDateRangeField": _date_range,
    "InnerContactField": _contact,
    "DepartmentField": _department,
    "TableField": _table,
}
