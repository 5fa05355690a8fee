"""The OpenRPC 1.3.2 document of the methods, made from what the dispatcher itself checks with."""

import inspect
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from opsplatform.core.errors import (
    Conflict,
    InvalidParams,
    NoPermission,
    NotFound,
    NotLoggedIn,
    OpsError,
    TooManyRequests,
    UpstreamError,
)
from opsplatform.core.rpc_answers import LONGEST_REQUEST_ID, SHORTEST_REQUEST_ID
from opsplatform.core.rpc_method import Entry

ERRORS: dict[type[OpsError], str] = {
    InvalidParams: "Invalid params",
    NotLoggedIn: "Not logged in",
    NoPermission: "No permission",
    TooManyRequests: "Too many requests",
    NotFound: "Not found",
    Conflict: "The state forbids it",
    UpstreamError: "Another system failed",
}
TOKEN = {
    "name": "token",
    "summary": "The token, where no Authorization header is sent; by name only",
    "required": False,
    "schema": {"type": "string"},
}
REQUEST_ID = {
    "name": "request_id",
    "summary": "Made by the client: the same one again gets the same answer and does nothing twice; by name only",
    "required": False,
    "schema": {"type": "string", "minLength": SHORTEST_REQUEST_ID, "maxLength": LONGEST_REQUEST_ID},
}

Key = tuple[str, str]
Mode = Literal["validation", "serialization"]


@lru_cache(maxsize=1)
def version() -> str:
    """The version of the platform."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """Describe `entries`; all schemas are made at once, so that equal names of two modules do not clash."""
    adapters = [part for entry in entries for part in _adapters(entry)]
    schemas, shared = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    by_key = {key: schema for (key, _mode), schema in schemas.items()}
    return {
        "openrpc": "1.3.2",
        "info": {"title": "opsplatform", "version": version()},
        "servers": [{"name": "api", "url": "/api"}],
        "methods": [_describe(entry, by_key) for entry in entries],
        "components": {
            "schemas": shared.get("$defs", {}),
            "errors": {kind.__name__: {"code": kind.code, "message": text} for kind, text in ERRORS.items()},
        },
    }


def _adapters(entry: Entry) -> Iterator[tuple[Key, Mode, TypeAdapter[Any]]]:
    name = entry.method.name
    for param, hint in entry.hints.items():
        yield (name, f"param {param}"), "validation", TypeAdapter(hint)
    yield (name, "result"), "serialization", TypeAdapter(entry.result_type)


def _describe(entry: Entry, schemas: dict[Key, Any]) -> dict[str, Any]:
    method = entry.method
    summary, _, text = entry.doc.partition("\n")
    params = [_param(name, parameter, schemas[method.name, f"param {name}"]) for name, parameter in _ordered(entry)]
    described: dict[str, Any] = {
        "name": method.name,
        "tags": [{"name": method.name.partition(".")[0]}],
        "summary": summary,
        "params": params + ([] if method.public else [TOKEN]) + ([REQUEST_ID] if method.changes else []),
        "result": {"name": "result", "schema": schemas[method.name, "result"]},
        "errors": [{"$ref": f"#/components/errors/{kind.__name__}"} for kind in _errors(entry)],
        "paramStructure": "either",
        "x-public": method.public,
        "x-permission": None if method.public else method.name,
        "x-changes": method.changes,
    }
    if text.strip():
        described["description"] = text.strip()
    return described


def _ordered(entry: Entry) -> list[tuple[str, inspect.Parameter]]:
    """Params in their order, required ones first, as the specification asks."""
    return sorted(entry.parameters.items(), key=lambda item: item[1].default is not item[1].empty)


def _param(name: str, parameter: inspect.Parameter, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(parameter.default, str | int | float):
        schema = {**schema, "default": parameter.default}
    return {"name": name, "required": parameter.default is parameter.empty, "schema": schema}


def _errors(entry: Entry) -> list[type[OpsError]]:
    """What may happen to any caller of this method; which of the others may is for its description to say."""
    kinds: list[type[OpsError]] = [InvalidParams] if entry.parameters else []
    if not entry.method.public:
        kinds += [NotLoggedIn, NoPermission]
    if entry.limit is not None:
        kinds.append(TooManyRequests)
    return [*kinds, NotFound, Conflict, UpstreamError] if not entry.method.public else kinds
