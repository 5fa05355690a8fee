"""`docs/api.md` from the methods themselves, the states in `docs/promise.md` from their tables; `--check`: fresh?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opsplatform.app import METHODS
from opsplatform.approvals.models import MACHINE as APPROVAL
from opsplatform.core import openrpc
from opsplatform.core.errors import OpsError
from opsplatform.core.machines import Machine
from opsplatform.core.rpc_method import Entry
from opsplatform.runs.models import MACHINE as RUN

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "api.md"
STATES_PAGE = DOCS / "promise.md"
MADE_FROM, MADE_TO = "<!-- made by `make docs` from the tables; do not edit -->", "<!-- end of what is made -->"
MACHINES: dict[str, Machine[Any]] = {"An approval": APPROVAL, "A run": RUN}
HEAD = """# Methods

Made by `make docs` from the code; do not edit. `POST /api` speaks JSON-RPC 2.0; log in with `user.verify` and send the
token as `Authorization: Bearer …` or as the named param `token`. A method that is not public needs the permission of
its name. Methods that change something take an optional `request_id` (8–64 characters): the same one again does
nothing twice. The same description for programs: `GET /openrpc.json`.
"""


def write() -> None:
    """Write the pages."""
    PAGE.write_text(render(), encoding="utf-8")
    STATES_PAGE.write_text(render_states(STATES_PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def check() -> None:
    """OpsError when a page differs from the code."""
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != render():
        raise OpsError("docs/api.md is not fresh; run: make docs")
    states = STATES_PAGE.read_text(encoding="utf-8")
    if states != render_states(states):
        raise OpsError("docs/promise.md is not fresh; run: make docs")


def render_states(page: str) -> str:
    """The page with its diagrams and tables as the code has them; what people wrote around them stays."""
    before, _, rest = page.partition(MADE_FROM)
    _, end, after = rest.partition(MADE_TO)
    if not end:
        raise OpsError(f"docs/promise.md lacks the lines between which its states stand: {MADE_FROM} … {MADE_TO}")
    made = [line for title, machine in MACHINES.items() for line in _machine(title, machine)]
    return "\n".join([f"{before}{MADE_FROM}\n", *made, f"{MADE_TO}{after}"])


def render() -> str:
    """The page as it should be."""
    document = openrpc.document([Entry(method) for method in METHODS])
    lines = [HEAD]
    area = ""
    for method in document["methods"]:
        if method["name"].partition(".")[0] != area:
            area = method["name"].partition(".")[0]
            lines.append(f"## {area}\n")
        lines += _method(method)
    lines.append("## Shapes\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"### {name}\n", f"{schema.get('description', '')}\n", *_members(schema), ""]
    return "\n".join(lines).rstrip() + "\n"


def _machine(title: str, machine: Machine[Any]) -> Iterator[str]:
    yield f"### {title}\n"
    yield from ("```mermaid", *machine.diagram(), "```\n")
    yield from machine.table()
    yield ""


def _method(method: dict[str, Any]) -> Iterator[str]:
    notes = ["public"] if method["x-public"] else []
    notes += ["changes something"] if method["x-changes"] else []
    yield f"### `{method['name']}`" + (f" ({', '.join(notes)})" if notes else "") + "\n"
    yield f"{method['summary']} {method.get('description', '')}".strip() + "\n"
    for param in method["params"]:
        if param["name"] not in {"token", "request_id"}:
            need = "" if param["required"] else ", optional"
            yield f"- `{param['name']}`: {_type(param['schema'])}{need}"
    yield f"- answers {_type(method['result']['schema'])}\n"


def _members(schema: dict[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, member in schema.get("properties", {}).items():
        yield f"- `{name}`: {_type(member)}{'' if name in required else ', may be absent'}"


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " · ".join(f"`{json.dumps(each)}`" for each in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    names = ("minimum", "maximum", "minLength", "maxLength", "pattern", "format", "default")
    found = [f"{name} {json.dumps(schema[name])}" for name in names if name in schema]
    return f" ({', '.join(found)})" if found else ""
