"""Check a value against the JSON Schema keywords that introspection writes, in both languages."""

import json
import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from opsplatform.catalog.types import Schema

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_TYPE_NAMES = {
    "string": "文本 / must be a text",
    "number": "数字 / must be a number",
    "integer": "整数 / must be a whole number",
    "boolean": "是或否 / must be true or false",
    "array": "列表 / must be a list",
    "object": "键值对象 / must be an object",
}
_AT_LEAST, _AT_MOST = operator.ge, operator.le
_Test = Callable[[Any, Any], bool]
_BOUNDS: dict[str, tuple[_Test, str]] = {
    "minimum": (_AT_LEAST, "不能小于 {0} / must be at least {0}"),
    "maximum": (_AT_MOST, "不能大于 {0} / must be at most {0}"),
    "exclusiveMinimum": (operator.gt, "必须大于 {0} / must be more than {0}"),
    "exclusiveMaximum": (operator.lt, "必须小于 {0} / must be less than {0}"),
}
_LENGTHS: dict[str, tuple[type[str | list[Any] | dict[str, Any]], _Test, str]] = {
    "minLength": (str, _AT_LEAST, "至少 {0} 个字符 / needs at least {0} characters"),
    "maxLength": (str, _AT_MOST, "最多 {0} 个字符 / takes at most {0} characters"),
    "minItems": (list, _AT_LEAST, "至少 {0} 项 / needs at least {0} items"),
    "maxItems": (list, _AT_MOST, "最多 {0} 项 / takes at most {0} items"),
    "minProperties": (dict, _AT_LEAST, "至少 {0} 项 / needs at least {0} entries"),
    "maxProperties": (dict, _AT_MOST, "最多 {0} 项 / takes at most {0} entries"),
}
_REPEATED_GROUP = re.compile(r"\)[*+{]")
LONGEST_MATCHED = 1000


def problems(value: Any, schema: Schema, place: str = "") -> list[str]:  # noqa: ANN401 - any JSON value
    """What does not fit, each a sentence in Chinese and English that begins with the place inside the value."""
    return [f"{place}: {text}" if place else text for place, text in _check(value, schema, place)]


def _check(value: Any, schema: Schema, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    kind = schema.get("type")
    if kind is not None and not _is_a(value, kind):
        yield place, f"必须是{_TYPE_NAMES[kind]}"
        return
    if "enum" in schema and value not in schema["enum"]:
        choices = [str(choice) for choice in schema["enum"]]
        yield place, f"只能是 {'、'.join(choices)} 之一 / must be one of {', '.join(choices)}"
        return
    yield from ((place, text) for text in _plain(value, schema))
    if isinstance(value, list):
        yield from _items(value, schema, place)
    if isinstance(value, dict):
        yield from _members(value, schema, place)


def _is_a(value: Any, kind: str) -> bool:  # noqa: ANN401
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _plain(value: Any, schema: Schema) -> Iterator[str]:  # noqa: ANN401
    """Bounds, lengths, pattern."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for keyword, (holds, text) in _BOUNDS.items():
            if keyword in schema and not holds(value, schema[keyword]):
                yield text.format(schema[keyword])
    for keyword, (kind, holds, text) in _LENGTHS.items():
        if keyword in schema and isinstance(value, kind) and not holds(len(value), schema[keyword]):
            yield text.format(schema[keyword])
    if isinstance(value, str) and "pattern" in schema and not _matches(schema["pattern"], value):
        said = schema.get("x-message")
        yield f"格式不对：{said} / has the wrong form: {said}" if said else f"格式不对 / must match {schema['pattern']}"


def _matches(pattern: str, value: str) -> bool:
    """Terraform's own engine needs linear time; ours does not, so what could take long is left to the plan."""
    if len(value) > LONGEST_MATCHED or _REPEATED_GROUP.search(pattern):
        return True
    return _compiled(pattern).search(value) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """`$` means the very end in Terraform, and not before a last line break."""
    return re.compile(re.sub(r"(?<!\\)\$\Z", r"\\Z", pattern))


def _items(value: list[Any], schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    prefix = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    for index, item in enumerate(value):
        inner = prefix[index] if index < len(prefix) else rest
        if isinstance(inner, dict):
            yield from _check(item, inner, f"{place}[{index + 1}]")
    if rest is False and "maxItems" not in schema and len(value) > len(prefix):
        yield place, f"最多 {len(prefix)} 项 / takes at most {len(prefix)} items"
    if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
        yield place, "不能重复 / must not repeat"


def _members(value: dict[str, Any], schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    properties = schema.get("properties", {})
    dot = f"{place}." if place else ""
    for name in schema.get("required", []):
        if name not in value:
            yield dot + name, "没有填写 / is missing"
    for name, item in value.items():
        if "propertyNames" in schema:
            yield from _check(name, schema["propertyNames"], dot + name)
        inner = properties.get(name, schema.get("additionalProperties", {}))
        if inner is False:
            yield dot + name, "没有这一项 / there is no such entry"
        elif isinstance(inner, dict) and not (
            item is None and name in properties and name not in schema.get("required", [])
        ):
            yield from _check(item, inner, dot + name)
