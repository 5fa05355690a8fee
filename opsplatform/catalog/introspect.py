"""The inputs and outputs of a module, read from its `variable` and `output` blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opsplatform.catalog import hints
from opsplatform.catalog.hcl import Block, HclError, Node
from opsplatform.catalog.types import Schema, constant, schema_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EPHEMERAL = "x-ephemeral"


@dataclass(frozen=True)
class Variable:
    """One variable of a module."""

    name: str
    schema: Schema
    required: bool


def variables_of(blocks: Sequence[Block]) -> dict[str, Variable]:
    """The variables by name, in the order in which they are written."""
    return {block.labels[0]: _variable(block) for block in _named(blocks, "variable")}


def outputs_of(blocks: Sequence[Block]) -> dict[str, dict[str, Any]]:
    """The outputs by name: what they mean and whether they are secret."""
    return {
        block.labels[0]: {"description": _text(block, "description"), "sensitive": _is_true(block, "sensitive")}
        for block in _named(blocks, "output")
    }


def _named(blocks: Sequence[Block], kind: str) -> list[Block]:
    found: dict[str, Block] = {}
    for block in blocks:
        if block.type != kind:
            continue
        if len(block.labels) != 1 or block.labels[0] in found:
            raise HclError(block.line, f"every {kind} needs one name of its own")
        found[block.labels[0]] = block
    return list(found.values())


def _variable(block: Block) -> Variable:
    schema = schema_of(block.attributes["type"]) if "type" in block.attributes else {}
    for validation in block.blocks:
        if validation.type == "validation" and "condition" in validation.attributes:
            hints.apply(schema, block.labels[0], validation.attributes["condition"], _message(validation))
    if description := _text(block, "description"):
        schema["description"] = description
    if "default" in block.attributes:
        schema["default"] = constant(block.attributes["default"])
    if _is_true(block, "sensitive") or _is_true(block, "ephemeral"):
        schema["writeOnly"] = True
    if _is_true(block, "ephemeral"):
        schema[EPHEMERAL] = True
    return Variable(block.labels[0], schema, "default" not in block.attributes)


def _message(validation: Block) -> str | None:
    return _text(validation, "error_message") or None


def _text(block: Block, name: str) -> str:
    node: Node | None = block.attributes.get(name)
    return node.value.strip() if node is not None and node.kind == "literal" and isinstance(node.value, str) else ""


def _is_true(block: Block, name: str) -> bool:
    node = block.attributes.get(name)
    return node is not None and node.kind == "literal" and node.value is True
