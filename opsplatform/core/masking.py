"""Keep secrets out of what people see: by value in texts, by Terraform's own marks in plans and states.

Both are needed. Terraform marks what it knows to be sensitive, but provisioners, providers and `terraform_data`
print or copy a value without its mark.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"
SHORTEST = 4
MARKED = {"before": "before_sensitive", "after": "after_sensitive", "values": "sensitive_values"}


class Scrubber:
    """Replaces known secrets in texts, as they are and as JSON spells them; shorter than four characters stays."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {spelling for value in values for spelling in _spellings(value) if len(spelling) >= SHORTEST}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def clean(self, text: str) -> str:
        """The text with every secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def clean_all(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """A JSON value with every text in it cleaned, keys too."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean(key): self.clean_all(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.clean_all(inner) for inner in value]
        return value


def texts_of(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Every text and number in a JSON value, as texts: what a Scrubber has to know of a sensitive input."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield json.dumps(value)


def mask_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """`terraform show -json PLAN` without its sensitive values; the original stays as it is."""
    declared = plan.get("configuration", {}).get("root_module", {}).get("variables", {})
    masked: dict[str, Any] = _mask_marked(dict(plan))
    for name, variable in masked.get("variables", {}).items():
        if declared.get(name, {}).get("sensitive") and isinstance(variable, dict):
            masked["variables"][name] = {**variable, "value": MASK}
    return masked


def mask_by(value: Any, sensitive: Any) -> Any:  # noqa: ANN401 - any JSON
    """The value with everything masked that the tree of marks says `true` about."""
    if sensitive is True:
        return MASK
    if isinstance(value, dict) and isinstance(sensitive, dict):
        return {key: mask_by(inner, sensitive.get(key)) for key, inner in value.items()}
    if isinstance(value, list) and isinstance(sensitive, list):
        marks = sensitive + [None] * (len(value) - len(sensitive))
        return [mask_by(inner, mark) for inner, mark in zip(value, marks, strict=False)]
    return value


def _mask_marked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Walk a plan and mask wherever a value stands beside its marks."""
    if isinstance(value, list):
        return [_mask_marked(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    masked = {}
    for key, inner in value.items():
        if MARKED.get(key, key) in value and key in MARKED:
            marks = value[MARKED[key]]
            masked[key] = mask_by(inner, marks)
        elif value.get("sensitive") is True and key in {"value", "default"}:
            masked[key] = MASK
        else:
            masked[key] = _mask_marked(inner)
    return _mask_copies(masked) if value.get("type") == "terraform_data" else masked


def _mask_copies(resource: dict[str, Any]) -> dict[str, Any]:
    """Mask the `output` of a `terraform_data`, which is its input without the marks."""
    for holder in (resource, resource.get("change")):
        for key, marks_key in MARKED.items():
            values = holder.get(key) if isinstance(holder, dict) else None
            marks = holder.get(marks_key) if isinstance(holder, dict) else None
            if isinstance(values, dict) and isinstance(marks, dict) and "output" in values:
                values["output"] = mask_by(values["output"], marks.get("input"))
    return resource


def _spellings(value: str) -> Iterator[str]:
    """How a secret may be written: as it is, line by line, and inside JSON by Python and by Go."""
    for text in {value, *value.splitlines()}:
        yield text
        for ascii_only in (True, False):
            inside = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            yield inside
            yield inside.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
