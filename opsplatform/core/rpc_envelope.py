"""What a request object of JSON-RPC 2.0 looks like."""

from typing import Any, TypeGuard


def is_request(item: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a request object; members beside the specified ones are passed over."""
    return (
        isinstance(item, dict)
        and item.get("jsonrpc") == "2.0"
        and isinstance(item.get("method"), str)
        and isinstance(item.get("params", {}), dict | list)
        and _is_id(item.get("id"))
    )


def _is_id(value: object) -> bool:
    if isinstance(value, float):
        return value - value == 0  # infinity would be echoed as no JSON
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))
