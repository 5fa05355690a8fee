"""The catalogue from outside: /api and the command line."""

import pytest
from flask.testing import FlaskClient

from opsplatform.catalog import rpc
from opsplatform.catalog.cli import module_cli
from opsplatform.catalog.models import ModuleVersion
from opsplatform.core.db import db
from opsplatform.core.rpc import Principal, init_rpc

MAIN = 'variable "name" {\n  type = string\n}\noutput "id" {\n  value = var.name\n}\n'
OFFER = "title: {zh: 一, en: One}\nform: {name: {label: 名称}}\n"


def principal(token):
    return Principal(1, "admin", "Admin", None, ("**",)) if token == "good" else None


@pytest.fixture
def client(catalogue) -> FlaskClient:
    init_rpc(catalogue.app, rpc.METHODS, authenticate=principal)
    return catalogue.app.test_client()


def call(client, method, token="good", **params):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post("/api", json=body, headers={"Authorization": f"Bearer {token}"}).get_json()


def test_the_list_pages_by_name_without_skipping(client, catalogue):
    for name in ("c", "a", "b"):
        catalogue.module(name, MAIN, OFFER)

    first = call(client, "module.list", limit=2)["result"]
    second = call(client, "module.list", limit=2, cursor=first["next_cursor"])["result"]

    assert [module["name"] for module in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


def test_binding_answers_the_module_with_its_binding(client, catalogue):
    catalogue.module("one", MAIN, OFFER)

    bound = call(client, "module.bind", name="one", process_code="PROC-1", fields={"name": "TextField-1"})["result"]
    shown = call(client, "module.get", name="one")["result"]

    assert bound == shown
    assert shown["form"]["fields"] == {"name": "TextField-1"}
    assert shown["form"]["bound_by"] == "admin"
    assert shown["title"] == "一"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": "gone", "process_code": "P", "fields": {}}, -32020),
        ({"name": "one", "process_code": "P", "fields": {}}, -32602),
        ({"name": "one", "process_code": "P", "fields": {"name": "a" * 101}}, -32602),
        ({"name": "one", "process_code": "", "fields": {"name": "a"}}, -32602),
        ({"name": "broken", "process_code": "P", "fields": {}}, -32021),
    ],
)
def test_a_binding_that_cannot_be_made_says_why(client, catalogue, params, code):
    catalogue.module("one", MAIN, OFFER)
    catalogue.module("broken", "x {", OFFER)

    assert call(client, "module.bind", **params)["error"]["code"] == code


@pytest.mark.parametrize("method", ["module.list", "module.get", "module.bind"])
def test_nobody_sees_the_catalogue_without_a_login(client, method):
    assert call(client, method, token="bad")["error"]["code"] == -32001


def test_the_command_lists_every_module(catalogue):
    catalogue.module("one", MAIN, OFFER + "process_code: PROC-1\n")
    catalogue.module("broken", "x {", OFFER)

    done = catalogue.app.test_cli_runner().invoke(module_cli, ["list"])

    assert done.exit_code == 0
    assert "PROC-1" in done.output
    assert "cannot be used: main.tf:1" in done.output


def test_the_command_checks_a_module_by_name_and_by_folder(catalogue, tmp_path, build):
    catalogue.module("one", MAIN, OFFER)
    build.module(tmp_path / "elsewhere", "two", MAIN, OFFER)
    runner = catalogue.app.test_cli_runner()

    by_name = runner.invoke(module_cli, ["check", "one"])
    by_folder = runner.invoke(module_cli, ["check", str(tmp_path / "elsewhere" / "two")])

    assert (by_name.exit_code, by_folder.exit_code) == (0, 0)
    assert "input  name (string, required)" in by_name.output
    assert "two" in by_folder.output


def test_the_list_says_what_to_do_when_there_is_no_database_yet(catalogue):
    catalogue.module("one", MAIN, OFFER)
    with db.engine.begin() as connection:
        ModuleVersion.__table__.drop(connection)

    try:
        done = catalogue.app.test_cli_runner().invoke(module_cli, ["list"])
    finally:
        db.session.rollback()
        with db.engine.begin() as connection:
            ModuleVersion.__table__.create(connection)

    assert done.exit_code == 1
    assert "db upgrade" in done.output


@pytest.mark.parametrize(("name", "said"), [("gone", "no module"), ("broken", "main.tf:1"), ("linked", "links are")])
def test_the_command_fails_with_one_sentence(catalogue, name, said):
    catalogue.module("broken", "x {", OFFER)
    (catalogue.module("linked", MAIN, OFFER) / "link").symlink_to("main.tf")

    done = catalogue.app.test_cli_runner().invoke(module_cli, ["check", name])

    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1
