"""Text that people typed, as the value a schema wants."""

import json
import math
import re
import unicodedata
from typing import Any, NoReturn

from opsplatform.catalog.types import Schema

LONGEST = 65_535
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)
_WORDS = {
    True: ("true", "yes", "on", "1", "是", "开", "开启", "启用", "需要"),
    False: ("false", "no", "off", "0", "否", "关", "关闭", "禁用", "不需要"),
}
_TRUTH = {word: truth for truth, words in _WORDS.items() for word in words}


class Mismatch(Exception):
    """A value does not fit; the text says why, in Chinese and English, and never repeats the value."""


def normalise(text: str) -> str:
    """NFKC and trimmed; refused when it is too long or no database and no Terraform could keep it."""
    if len(text) > LONGEST:
        _too_long()
    text = unicodedata.normalize("NFKC", text).strip()
    if len(text) > LONGEST:
        _too_long()
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Mismatch("含有不能保存的字符 / holds characters that cannot be kept")
    return text


def _too_long() -> NoReturn:
    raise Mismatch(f"太长，最多 {LONGEST} 个字符 / is too long, at most {LONGEST} characters")


def typed(text: str, schema: Schema) -> Any:  # noqa: ANN401 - any JSON value
    """The text as the schema's type; text stays text."""
    match schema.get("type"):
        case "number" | "integer":
            return _number(text)
        case "boolean":
            return _boolean(text)
        case "array":
            return _list(text, schema)
        case "object":
            return _json(text, dict, "需要 JSON 对象 / needs a JSON object")
        case _:
            return text


def clean(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON value with every text in it normalised, and numbers that are numbers."""
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Mismatch("数字太大 / holds a number that is too large")
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {normalise(str(key)): clean(item) for key, item in value.items()}
    return value


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise Mismatch("必须是数字 / must be a number")
    whole, _, part = text.partition(".")
    return float(text) if part.strip("0") else int(whole)


def _boolean(text: str) -> bool:
    truth = _TRUTH.get(text.lower())
    if truth is None:
        raise Mismatch("必须是“是”或“否” / must be yes or no")
    return truth


def _list(text: str, schema: Schema) -> Any:  # noqa: ANN401
    """A JSON list; or one plain item a line."""
    items = schema.get("items", {})
    if text.startswith("[") or not isinstance(items, dict) or items.get("type") in {"array", "object"}:
        return _json(text, list, "需要 JSON 列表 / needs a JSON list")
    return [typed(line.strip(), items) for line in text.splitlines() if line.strip()]


def _json(text: str, kind: type, wanted: str) -> Any:  # noqa: ANN401
    try:
        value = clean(json.loads(text))
    except (ValueError, RecursionError):
        raise Mismatch(wanted) from None
    if not isinstance(value, kind):
        raise Mismatch(wanted)
    return value
