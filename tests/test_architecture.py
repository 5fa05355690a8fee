"""House rules that no linter knows; docs/architecture.md lists them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Config
from opsplatform.app import METHODS, SCHEDULE, TASKS
from tests.support import ROOT

PACKAGE = ROOT / "opsplatform"
FILES = sorted(PACKAGE.rglob("*.py"))
EDGES = {"rpc.py", "views.py", "tasks.py", "cli.py"}
MAPS = {"apidocs.py", "app.py", "backup.py", "demo.py", "doctor.py", "rotation.py", "wsgi.py"}
PUBLIC_METHODS = {"App.index", "App.info", "user.register", "user.verify", "sso.refresh"}
PERMISSION_AREAS = {"App", "user", "sso", "module", "approval", "run", "workspace", "resource"}
VIEWS = {
    "/healthz": "public",
    "/readyz": "public",
    "/metrics": "public, counts only",
    "/openrpc.json": "shows what the caller's token allows",
    "/api": "token per method",
    "/api/": "token per method",
    "/api/browse": "development only",
    "/api/browse/browse.css": "development only",
    "/api/browse/browse.js": "development only",
    "/api/<path:rest>": "public, always 404",
    "/dingtalk/callback": "signature",
    "/terraform/state/<workspace>": "run credential",
}


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def in_package(path: Path, *names: str) -> bool:
    return path.relative_to(PACKAGE).parts[0] in names


@pytest.mark.parametrize("name", ["transaction", "in_transaction", "adapters"])
def test_only_edges_open_transactions_and_call_adapters(name):
    allowed = {"core", "simulator"} | ({"adapters"} if name == "adapters" else set())
    # The watch of a running Terraform writes its log from inside the task that runs it.
    exceptions = {"opsplatform/runs/watch.py"}

    offenders = {
        where(path)
        for path in FILES
        if path.name not in EDGES | MAPS
        and not in_package(path, *allowed)
        and any(called_name(call) == name and isinstance(call.func, ast.Name) for call in calls(path))
    }

    assert offenders - exceptions == set()


def test_only_the_database_module_commits():
    offenders = {where(path) for path in FILES if any(called_name(call) == "commit" for call in calls(path))}

    assert offenders == {"opsplatform/core/db.py"}


@pytest.mark.parametrize("module", ["subprocess", "socket", "requests"])
def test_processes_and_network_belong_to_adapters(module):
    offenders = {where(path) for path in FILES if module in set(imports(path)) and not in_package(path, "adapters")}

    assert offenders == set()


@pytest.mark.parametrize(("module", "room"), [("flask_jsonrpc", "rpc"), ("huey", "queue")])
def test_an_engine_is_imported_in_one_room_only(module, room):
    users = {
        where(path) for path in FILES if any(name == module or name.startswith(f"{module}.") for name in imports(path))
    }

    assert users
    assert all(re.fullmatch(rf"opsplatform/core/{room}\w*\.py", user) for user in users), users


def test_only_the_settings_read_the_environment():
    offenders = {where(path) for path in FILES if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))}

    assert offenders == set()


def test_every_task_that_is_enqueued_exists():
    named = {
        call.args[0].value
        for path in FILES
        for call in calls(path)
        if called_name(call) == "enqueue" and call.args and isinstance(call.args[0], ast.Constant)
    }

    assert named - TASKS.keys() == set()
    assert {periodic.task for periodic in SCHEDULE} - TASKS.keys() == set()
    assert TASKS.keys() - named - {periodic.task for periodic in SCHEDULE} == set()


def test_every_method_is_on_the_public_list_or_needs_a_permission_of_its_domain():
    assert {method.name for method in METHODS if method.public} == PUBLIC_METHODS
    assert {method.name.split(".")[0] for method in METHODS} == PERMISSION_AREAS


def test_every_view_is_listed_with_its_protection(make_config, clean_up):
    from opsplatform.app import create_app

    app = clean_up(create_app(make_config(ops_env="development")))

    assert {str(rule) for rule in app.url_map.iter_rules()} == set(VIEWS)


def test_every_domain_stands_in_the_architecture_page_and_no_other():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^  ([a-z]+)/ ", page, re.MULTILINE))

    assert named == {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_every_setting_stands_in_the_operations_page():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert {name for name in Config.model_fields if f"`{name.upper()}`" not in page} == set()


def test_no_module_is_longer_than_300_lines():
    long = {where(path): count for path in FILES if (count := len(path.read_text("utf-8").splitlines())) > 300}

    assert long == {}


def test_every_package_file_is_only_a_docstring():
    offenders = {where(path) for path in FILES if path.name == "__init__.py" and len(tree(path).body) != 1}

    assert offenders == set()
