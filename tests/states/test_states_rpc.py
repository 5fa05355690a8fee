"""`workspace.*` as a caller sees it."""

import json

import pytest

from opsplatform.core.db import transaction
from opsplatform.core.errors import InvalidParams, NotFound
from opsplatform.core.rpc_method import Entry
from opsplatform.states import locks, rpc, service

pytestmark = pytest.mark.usefixtures("held", "context")

LOCK = {"ID": "l-1", "Operation": "OperationTypeApply", "Who": "me@here", "Created": "2026-01-01T00:00:00Z"}


def call(method, /, **params):
    """The answer as it leaves, params and result checked against their declarations."""
    [entry] = [Entry(one) for one in rpc.METHODS if one.name == method]
    values = entry.bind(params)
    return json.loads(b"{" + entry.dump(entry.method.function(**values)) + b"}")["result"]


def test_a_workspace_says_who_holds_it(make_state):
    with transaction():
        service.store("web", make_state(serial=4), run_id=7)
        locks.lock("web", LOCK, run_id=7, fence=3)

    found = call("workspace.get", name="web")

    assert found.pop("created_at").endswith("Z")
    assert found == {
        "name": "web",
        "module": "demo-server",
        "environment": "test",
        "serial": 4,
        "lineage": "one",
        "resource_count": 0,
        "run_id": 7,
        "lock": {"id": "l-1", "operation": "OperationTypeApply", "who": "me@here", "created_at": LOCK["Created"]},
        "quarantined_reason": None,
    }


def test_workspaces_are_listed_newest_first_and_page_by_page():
    with transaction():
        for number in range(3):
            service.open_workspace(f"w-{number}", module="demo-fleet", environment="prod")

    first = call("workspace.list", module="demo-fleet", limit=2)
    second = call("workspace.list", module="demo-fleet", limit=2, cursor=first["next_cursor"])

    assert [item["name"] for item in first["items"] + second["items"]] == ["w-2", "w-1", "w-0"]
    assert second["next_cursor"] is None
    assert call("workspace.list", environment="nowhere")["items"] == []


def test_versions_are_listed_without_the_state_itself(make_state):
    secret = {"password": {"value": "hunter22", "type": "string", "sensitive": True}}
    with transaction():
        service.store("web", make_state(serial=1), run_id=7)
        service.store("web", make_state(serial=2, outputs=secret), run_id=7)

    listed = call("workspace.states", name="web")["items"]

    assert [(item["serial"], item["run_id"], item["size"]) for item in listed] == [
        (2, 7, len(make_state(serial=2, outputs=secret))),
        (1, 7, len(make_state(serial=1))),
    ]
    assert "hunter22" not in json.dumps(listed)


@pytest.mark.parametrize("method", ["workspace.get", "workspace.states"])
def test_what_does_not_exist_is_not_found(method):
    with pytest.raises(NotFound):
        call(method, name="nowhere")


@pytest.mark.parametrize("name", ["../web", "WEB", "", "w" * 64])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(InvalidParams):
        call("workspace.get", name=name)
