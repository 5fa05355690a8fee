"""What a variable's validation blocks say, as keywords of JSON Schema.

Only conditions that must all hold are read; what is not understood is left to Terraform, which checks everything
again when it plans.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from opsplatform.catalog.hcl import Node
from opsplatform.catalog.types import Schema

Scope = Mapping[tuple[str, ...], Schema]

_SWAPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "=="}
_BOUNDS = {"<=": "maximum", ">=": "minimum", "<": "exclusiveMaximum", ">": "exclusiveMinimum"}
_LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
_MAP_LENGTHS = ("minProperties", "maxProperties")
# What RE2 reads and other engines do not, or read differently.
_RE2_ONLY = re.compile(r"\\[pPzZAQCG]|\[\[:|\(\?")


def apply(schema: Schema, variable: str, condition: Node, message: str | None = None) -> None:
    """Narrow the schema of `variable` by one condition; `message` is what the author says when it is not met."""
    _apply(condition, {("var", variable): schema}, message)


def _apply(condition: Node, scope: Scope, message: str | None) -> None:
    for term in _terms(condition):
        _enum(term, scope)
        _pattern(term, scope, message)
        _comparison(term, scope)
        _each(term, scope, message)


def _terms(node: Node) -> Iterator[Node]:
    """The conditions that must all hold, null left aside: an input that is not given is not checked."""
    if node.kind == "operation" and node.value == "&&":
        for part in node.parts:
            yield from _terms(part)
    elif node.kind == "operation" and node.value == "||" and _asks_for_null(node.parts[0], "=="):
        yield from _terms(node.parts[1])
    elif node.kind == "operation" and node.value == "?" and _asks_for_null(node.parts[0], "=="):
        yield from _terms(node.parts[2])
    elif node.kind == "operation" and node.value == "?" and _asks_for_null(node.parts[0], "!="):
        yield from _terms(node.parts[1])
    else:
        yield node


def _asks_for_null(node: Node, operator: str) -> bool:
    nulls = [part for part in node.parts if part.kind == "literal" and part.value is None]
    return node.kind == "operation" and node.value == operator and len(nulls) == 1


def _target(node: Node, scope: Scope) -> Schema | None:
    """The schema of what a name stands for."""
    if node.kind != "name":
        return None
    for path, schema in scope.items():
        if node.value[: len(path)] == path:
            found: Schema | None = schema
            for step in node.value[len(path) :]:
                found = (found or {}).get("properties", {}).get(step)
            return found
    return None


def _enum(term: Node, scope: Scope) -> None:
    """`contains(["a", "b"], x)`."""
    if not _is_call(term, "contains", 2):
        return
    choices, what = term.parts
    target = _target(what, scope)
    if target is not None and choices.kind == "list" and all(part.kind == "literal" for part in choices.parts):
        target.setdefault("enum", [part.value for part in choices.parts])


def _pattern(term: Node, scope: Scope, message: str | None) -> None:
    """`can(regex("…", x))`; the author's message says better than the pattern what is wanted."""
    if not _is_call(term, "can", 1) or not _is_call(term.parts[0], "regex", 2):
        return
    pattern, what = term.parts[0].parts
    target = _target(what, scope)
    if target is None or "pattern" in target or pattern.kind != "literal" or not portable(str(pattern.value)):
        return
    target["pattern"] = str(pattern.value)
    if message:
        target["x-message"] = message


def _is_call(node: Node, name: str, arguments: int) -> bool:
    return node.kind == "call" and node.value == name and len(node.parts) == arguments


def portable(pattern: str) -> bool:
    """Whether other engines read the pattern as Terraform's does."""
    if _RE2_ONLY.search(pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _comparison(term: Node, scope: Scope) -> None:
    """`x >= 1`, `length(x) <= 10`, `floor(x) == x`, either way round."""
    if term.kind != "operation" or term.value not in _SWAPPED:
        return
    left, right = term.parts
    if term.value == "==" and (whole := _whole(left, right, scope) or _whole(right, left, scope)) is not None:
        whole["type"] = "integer"
    elif right.kind == "literal":
        _bound(left, term.value, right.value, scope)
    elif left.kind == "literal":
        _bound(right, _SWAPPED[term.value], left.value, scope)


def _whole(left: Node, right: Node, scope: Scope) -> Schema | None:
    """The number that `floor(x) == x` or `x % 1 == 0` says is whole."""
    if left.kind == "call" and left.value in {"floor", "ceil"} and left.parts and left.parts[0].value == right.value:
        return _target(right, scope)
    if left.kind == "operation" and left.value == "%" and left.parts[1].value == 1 and right.value == 0:
        return _target(left.parts[0], scope)
    return None


def _bound(what: Node, operator: str, value: Any, scope: Scope) -> None:  # noqa: ANN401 - any constant
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if _is_call(what, "length", 1):
        target = _target(what.parts[0], scope)
        if target is not None:
            _length(target, operator, int(value))
        return
    target = _target(what, scope)
    if target is not None and operator in _BOUNDS and target.get("type") in {"number", "integer"}:
        target[_BOUNDS[operator]] = value


def _length(target: Schema, operator: str, value: int) -> None:
    least, most = _LENGTHS.get(str(target.get("type")), _MAP_LENGTHS)
    if operator in {">=", ">", "=="}:
        target[least] = value + (operator == ">")
    if operator in {"<=", "<", "=="}:
        target[most] = value - (operator == "<")


def _each(term: Node, scope: Scope, message: str | None) -> None:
    """`alltrue([for x in var.list : …])` speaks of the items."""
    if not _is_call(term, "alltrue", 1) or term.parts[0].kind != "for" or len(term.parts[0].parts) != 2:  # noqa: PLR2004 - the source and one condition
        return
    loop = term.parts[0]
    source = _target(loop.parts[0], scope)
    if source is not None:
        _apply(loop.parts[1], _inside(loop.value, source), message)


def _inside(names: tuple[str, ...], source: Schema) -> Scope:
    """What the names of a loop stand for."""
    scope: dict[tuple[str, ...], Schema] = {}
    item = source.get("items") if source.get("type") == "array" else source.get("additionalProperties")
    if isinstance(item, dict):
        scope[(names[-1],)] = item
    if len(names) > 1 and source.get("type") == "object":
        scope[(names[0],)] = source.setdefault("propertyNames", {"type": "string"})
    return scope
