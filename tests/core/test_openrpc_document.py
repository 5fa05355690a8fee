"""The description of the API and the page to try it."""

import datetime as dt
import json
import re
from typing import Annotated, Literal

import jsonschema
import pytest
from pydantic import Field
from typing_extensions import TypedDict

from opsplatform.core.rpc import Method
from opsplatform.core.schemas import Cursor, Limit, Page

GOOD_TOKEN = "good-token"


class Row(TypedDict):
    id: int
    at: dt.datetime | None


def rows(kind: Literal["a", "b"], limit: Limit = 50, cursor: Cursor | None = None) -> Page[Row]:
    """Rows, newest first.

    As far as they go.
    """
    return {"items": [], "next_cursor": None}


def make(word: Annotated[str, Field(max_length=9)]) -> Row:
    """A new row."""
    return {"id": 1, "at": None}


def ping() -> None:
    """Nothing."""


METHODS = [
    Method("row.list", rows),
    Method("row.make", make, changes=True, limit="9/minute"),
    Method("App.ping", ping, public=True),
]


@pytest.fixture
def api(rpc_api):
    return rpc_api(*METHODS)


def document(api, token=None):
    return api.result("rpc.discover", token=token)


def test_without_a_token_only_public_methods_are_shown(api):
    assert [method["name"] for method in document(api)["methods"]] == ["App.ping", "rpc.discover"]


def test_with_a_token_what_the_caller_may_call_is_shown(rpc_api):
    api = rpc_api(*METHODS, patterns=("row.list",))

    names = [method["name"] for method in document(api, GOOD_TOKEN)["methods"]]

    assert names == ["row.list", "App.ping", "rpc.discover"]
    assert api.result("rpc.discover", {"token": GOOD_TOKEN}) == document(api, GOOD_TOKEN)


def test_the_route_and_the_method_give_the_same_document(api):
    shown = api.client.get("/openrpc.json", headers={"Authorization": f"Bearer {GOOD_TOKEN}"})

    assert shown.get_json() == document(api, GOOD_TOKEN)
    assert api.client.get("/openrpc.json").get_json() == document(api)


def test_a_wrong_token_is_told_and_not_taken_for_none(api):
    response = api.client.get("/openrpc.json", headers={"Authorization": "Bearer wrong"})

    assert response.status_code == 401
    assert response.get_json()["error"]["code"] == -32001
    assert api.error("rpc.discover", token="wrong")["code"] == -32001


def test_the_document_has_the_members_openrpc_requires(api):
    shown = document(api, GOOD_TOKEN)

    assert shown["openrpc"] == "1.3.2"
    assert set(shown["info"]) >= {"title", "version"}
    assert isinstance(shown["servers"], list)
    assert all({"name", "url"} <= set(server) for server in shown["servers"])
    allowed = {"name", "tags", "summary", "description", "params", "result", "errors", "paramStructure"}
    for method in shown["methods"]:
        assert {key for key in method if not key.startswith("x-")} <= allowed
        assert {"name", "params", "result"} <= set(method)
        assert method["paramStructure"] in {"either", "by-name", "by-position"}
        names = [param["name"] for param in method["params"]]
        assert len(names) == len(set(names))
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True)
        assert set(method["result"]) == {"name", "schema"}
        for part in [*method["params"], method["result"]]:
            jsonschema.Draft202012Validator.check_schema(part["schema"])


def test_every_reference_of_the_document_has_its_target(api):
    shown = document(api, GOOD_TOKEN)

    found = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(shown)))
    assert "#/components/errors/NotLoggedIn" in found
    for reference in found:
        target = shown
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_params_show_what_the_dispatcher_checks(api):
    shown = {method["name"]: method for method in document(api, GOOD_TOKEN)["methods"]}
    listed = {param["name"]: param for param in shown["row.list"]["params"]}

    assert listed["kind"] == {"name": "kind", "required": True, "schema": {"enum": ["a", "b"], "type": "string"}}
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert not listed["cursor"]["required"]
    assert not listed["token"]["required"]
    assert "request_id" not in listed
    assert "request_id" in [param["name"] for param in shown["row.make"]["params"]]
    assert shown["App.ping"]["params"] == []
    assert shown["row.list"]["summary"] == "Rows, newest first."
    assert shown["row.list"]["description"] == "As far as they go."


def test_access_and_permission_are_shown(api):
    shown = {method["name"]: method for method in document(api, GOOD_TOKEN)["methods"]}

    assert (shown["row.make"]["x-permission"], shown["row.make"]["x-changes"]) == ("row.make", True)
    assert (shown["App.ping"]["x-permission"], shown["App.ping"]["x-public"]) == (None, True)


def test_the_page_is_there_in_development_for_this_machine(rpc_api):
    api = rpc_api(*METHODS, ops_env="development")

    page = api.client.get("/api/browse")

    assert page.status_code == 200
    assert "接口浏览" in page.text
    assert "http" not in page.text.replace("/api", "")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("browse.js", "browse.css"):
        assert api.client.get(f"/api/browse/{name}").status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
    ],
)
def test_the_page_is_not_there_for_another_machine(rpc_api, environ):
    api = rpc_api(*METHODS, ops_env="development")

    for path in ("/api/browse", "/api/browse/browse.js"):
        response = api.client.get(path, environ_overrides=environ)
        assert response.status_code == 404
        assert response.get_json()["error"]["code"] == -32600


@pytest.mark.parametrize("debug", [True, False])
def test_the_page_is_not_there_outside_development(rpc_api, debug):
    api = rpc_api(*METHODS, ops_env="testing")
    api.app.debug = debug

    assert api.client.get("/api/browse").status_code == 404
