"""Terraform's type grammar as JSON Schema 2020-12, and its constants as Python values."""

from typing import Any

from opsplatform.catalog.hcl import HclError, Node

Schema = dict[str, Any]

_SIMPLE: dict[str, Schema] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "any": {},
    "list": {"type": "array"},
    "set": {"type": "array", "uniqueItems": True},
    "map": {"type": "object"},
}


def schema_of(node: Node) -> Schema:
    """The schema of a type as it stands in `type = …`."""
    if node.kind == "name" and len(node.value) == 1 and node.value[0] in _SIMPLE:
        return dict(_SIMPLE[node.value[0]])
    if node.kind == "call" and node.value in _READERS:
        return _READERS[node.value](node)
    raise HclError(node.line, "this is not a type: use string, number, bool, any, list, set, map, tuple or object")


def constant(node: Node) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a constant expression, as Terraform demands it of defaults."""
    if node.kind == "literal":
        return node.value
    if node.kind == "list":
        return [constant(part) for part in node.parts]
    if node.kind == "object":
        keys = [_key(part) for part in node.parts[::2]]
        return dict(zip(keys, (constant(part) for part in node.parts[1::2]), strict=True))
    raise HclError(node.line, "a default must be a constant")


def _list(node: Node) -> Schema:
    return {"type": "array", "items": _inner(node)}


def _set(node: Node) -> Schema:
    return {"type": "array", "items": _inner(node), "uniqueItems": True}


def _map(node: Node) -> Schema:
    return {"type": "object", "additionalProperties": _inner(node)}


def _tuple(node: Node) -> Schema:
    items = [schema_of(part) for part in _only(node, "list").parts]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items), "maxItems": len(items)}


def _object(node: Node) -> Schema:
    inner = _only(node, "object")
    properties: Schema = {}
    required: list[str] = []
    for key, value in zip(inner.parts[::2], inner.parts[1::2], strict=True):
        name = _key(key)
        if value.kind == "call" and value.value == "optional":
            properties[name] = _optional(value)
        else:
            properties[name] = schema_of(value)
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _optional(node: Node) -> Schema:
    if not 1 <= len(node.parts) <= 2:  # noqa: PLR2004 - a type and perhaps a default
        raise HclError(node.line, "optional() takes a type and perhaps a default")
    schema = schema_of(node.parts[0])
    if len(node.parts) == 2:  # noqa: PLR2004
        schema["default"] = constant(node.parts[1])
    return schema


def _inner(node: Node) -> Schema:
    if len(node.parts) != 1:
        raise HclError(node.line, f"{node.value}() takes one type")
    return schema_of(node.parts[0])


def _only(node: Node, kind: str) -> Node:
    if len(node.parts) != 1 or node.parts[0].kind != kind:
        raise HclError(node.line, f"{node.value}() takes one {kind} of types")
    return node.parts[0]


def _key(node: Node) -> str:
    if node.kind == "name" and len(node.value) == 1:
        return str(node.value[0])
    if node.kind == "literal":
        return str(node.value)
    raise HclError(node.line, "a key must be a plain name")


_READERS = {"list": _list, "set": _set, "map": _map, "tuple": _tuple, "object": _object}
