"""`module.*`: see the catalogue, and bind DingTalk templates to it."""

from typing import Annotated

from pydantic import Field

from opsplatform.catalog import service
from opsplatform.catalog.schemas import ModuleShown
from opsplatform.core.rpc import Method, caller
from opsplatform.core.schemas import Cursor, Limit, Page

ModuleName = Annotated[str, Field(min_length=1, max_length=63)]
ProcessCode = Annotated[str, Field(min_length=1, max_length=128)]
Fields = Annotated[dict[str, Annotated[str, Field(max_length=100)]], Field(max_length=150)]


def list_modules(limit: Limit = 50, cursor: Cursor | None = None) -> Page[ModuleShown]:
    """Every module with its inputs, outputs and form, by name."""
    found = [module for module in service.list_modules() if cursor is None or module["name"] > cursor]
    more = len(found) > limit
    return {"items": found[:limit], "next_cursor": found[limit - 1]["name"] if more else None}


def get_module(name: ModuleName) -> ModuleShown:
    """One module."""
    return service.get_module(name)


def bind_module(name: ModuleName, process_code: ProcessCode, fields: Fields) -> ModuleShown:
    """Let a DingTalk template order a module; `fields` maps each input to a component's id, or to its label."""
    return service.bind(name, process_code, fields, caller().username)


METHODS = (
    Method("module.list", list_modules),
    Method("module.get", get_module),
    Method("module.bind", bind_module, changes=True),
)
