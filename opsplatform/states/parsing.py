"""Read a Terraform state, format 4: its place in the history, its resources, its outputs."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.masking import MASK

FORMAT = 4
LONGEST_LINEAGE = 64
LARGEST_SERIAL = 2**53
WRAPPED = {"value", "type"}


@dataclass(frozen=True)
class StateHead:
    """What places a state in its history."""

    lineage: str
    serial: int
    resource_count: int


@dataclass(frozen=True)
class StateResource:
    """One object of a state; sensitive attributes are masked, `sensitive_paths` name them."""

    address: str
    type: str
    name: str
    provider: str
    provider_id: str | None
    attributes: dict[str, Any]
    sensitive_paths: tuple[str, ...] = ()


def read_head(content: bytes) -> StateHead:
    """Lineage, serial and size of a state, or Conflict when it is none."""
    state = _load(content)
    lineage, serial = state.get("lineage"), state.get("serial")
    if not isinstance(lineage, str) or len(lineage) > LONGEST_LINEAGE:
        raise Conflict("The state has no lineage, so it cannot be told whose it is.")
    if not isinstance(serial, int) or isinstance(serial, bool) or not 0 <= serial <= LARGEST_SERIAL:
        raise Conflict("The state has no serial number, so it cannot be told how new it is.")
    return StateHead(lineage, serial, len(_instances(state)))


def with_lineage(content: bytes) -> bytes:
    """The same state with a lineage of its own, which always comes out the same.

    Terraform gives a first state its lineage only when it can deliver it; what it could not deliver has none.
    """
    lineage = str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(content).hexdigest()))
    placed = re.sub(rb'"lineage":\s*""', f'"lineage": "{lineage}"'.encode(), content, count=1)
    placed = re.sub(rb'"serial":\s*0\b', b'"serial": 1', placed, count=1)
    if read_head(placed).lineage != lineage:
        raise Conflict("The state has no lineage, and it is not written as Terraform writes it.")
    return placed


def resources_of(content: bytes) -> list[StateResource]:
    """Every object Terraform manages in a state."""
    return [_resource(block, instance) for block, instance in _instances(_load(content))]


def outputs_of(content: bytes) -> dict[str, dict[str, Any]]:
    """Each output's value, type and whether it is sensitive; a sensitive one comes without its value."""
    outputs = _load(content).get("outputs") or {}
    return {
        name: {
            "value": None if output.get("sensitive") else output.get("value"),
            "sensitive": bool(output.get("sensitive")),
            "type": output.get("type"),
        }
        for name, output in outputs.items()
    }


def output_value(content: bytes, name: str) -> Any:  # noqa: ANN401 - any JSON
    """The value of one output, sensitive or not; the caller answers for who may see it."""
    outputs = _load(content).get("outputs") or {}
    if name not in outputs:
        raise NotFound(f"The state has no output {name}.")
    return outputs[name].get("value")


def _load(content: bytes) -> dict[str, Any]:
    try:
        state = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Conflict("The state is not JSON; it may have been read in the middle of a write.") from error
    if not isinstance(state, dict) or state.get("version") != FORMAT:
        raise Conflict(f"The state is not a Terraform state of format {FORMAT}.")
    return state


def _instances(state: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Managed objects with the block they stand in, or Conflict when the shape is not that of a state."""
    try:
        blocks = [block for block in state.get("resources") or [] if block.get("mode") == "managed"]
        found = [(block, instance) for block in blocks for instance in block.get("instances") or []]
        sound = all(
            isinstance(block.get("type"), str)
            and isinstance(block.get("name"), str)
            and isinstance(instance.get("attributes") or {}, dict)
            for block, instance in found
        )
    except (TypeError, AttributeError):
        sound = False
    if not sound:
        raise Conflict("The state lists resources in a way Terraform does not write them.")
    return found


def _resource(block: Mapping[str, Any], instance: Mapping[str, Any]) -> StateResource:
    attributes = instance.get("attributes") or {}
    paths = [_steps(path) for path in instance.get("sensitive_attributes") or []]
    if block["type"] == "terraform_data":  # its output is its input, and loses the mark
        paths += [["output", *path[1:]] for path in paths if path[:1] == ["input"]]
    masked = attributes
    for path in paths:
        masked = _mask(masked, path)
    provider_id = attributes.get("id")
    return StateResource(
        address=_address(block, instance),
        type=block["type"],
        name=block["name"],
        provider=_provider(block.get("provider", "")),
        provider_id=None if provider_id is None else str(MASK if masked.get("id") == MASK else provider_id),
        attributes={name: _unwrap(value) for name, value in masked.items()},
        sensitive_paths=tuple(".".join(map(str, path)) for path in paths),
    )


def _address(block: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """The address as Terraform writes it; an object that waits for its destruction says so."""
    module = f"{block['module']}." if block.get("module") else ""
    address = f"{module}{block['type']}.{block['name']}"
    key = instance.get("index_key")
    if isinstance(key, str):
        quoted = json.dumps(key, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
        address += f"[{quoted}]"
    elif key is not None:
        address += f"[{key}]"
    return f"{address} (deposed {instance['deposed']})" if instance.get("deposed") else address


def _provider(text: str) -> str:
    """`registry.terraform.io/aliyun/alicloud` from `module.a.provider["registry…"].alias`."""
    _, found, rest = text.partition('provider["')
    return rest.partition('"]')[0] if found else text


def _steps(path: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Names and indexes of a path, each either `{type: get_attr, value}` or `{type: index, value: {value, type}}`."""
    return [step["value"]["value"] if isinstance(step["value"], dict) else step["value"] for step in path]


def _mask(value: Any, path: Sequence[Any]) -> Any:  # noqa: ANN401 - any JSON
    """A copy with what the path leads to masked; where the path leads nowhere, all of it, to be safe."""
    if value is None or not path:
        return None if value is None else MASK
    step, rest = path[0], path[1:]
    if isinstance(value, dict) and step in value:
        return {**value, step: _mask(value[step], rest)}
    if _is_wrapped(value):
        return {**value, "value": _mask(value["value"], path)}
    if isinstance(value, list) and isinstance(step, (int, float)) and 0 <= step < len(value):
        return [_mask(each, rest) if index == step else each for index, each in enumerate(value)]
    return MASK


def _is_wrapped(value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether it is a value of a dynamic type, which a state keeps together with that type."""
    if not isinstance(value, dict) or set(value) != WRAPPED:
        return False
    return isinstance(value["type"], list) or value["type"] in {"string", "number", "bool"}


def _unwrap(value: Any) -> Any:  # noqa: ANN401 - any JSON
    return value["value"] if _is_wrapped(value) else value
