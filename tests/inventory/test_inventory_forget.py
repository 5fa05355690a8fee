"""An orphan that a person has looked after leaves the list, on the record."""

import json

import pytest

from opsplatform.core.db import db, transaction
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.rpc_caller import Principal, identify, one_call
from opsplatform.core.rpc_method import Entry
from opsplatform.inventory import rpc, service
from opsplatform.inventory.models import Resource
from tests.miniatures import rows

REASON = "removed by hand in the console"


@pytest.fixture
def put(platform):
    """Store a resource in a state; answers its id."""

    def store(state, provider_id=None):
        with transaction():
            resource = Resource(
                address="a.web", type="a", name="web", provider_id=provider_id, module="demo-server", workspace="web",
                environment="demo", applicant_userid="zhangsan", applicant_name="张三", run_id=7, state=state,
            )  # fmt: skip
            db.session.add(resource)
            db.session.flush()
            return resource.id

    return store


def call(method, **params):
    """The answer as it leaves, to somebody who is logged in."""
    [entry] = [Entry(one) for one in rpc.METHODS if one.name == method]
    with one_call(), transaction():
        identify(Principal(3, "operator1", "Op", None, ("resource.*",)))
        return json.loads(b"{" + entry.dump(entry.method.function(**entry.bind(params))) + b"}")["result"]


@pytest.mark.parametrize("provider_id", [None, "id-1"])
def test_an_orphan_is_ended_and_its_history_says_who_when_and_why(put, provider_id):
    orphan = put("orphaned", provider_id)

    found = call("resource.forget", id=orphan, reason=REASON)

    assert (found["state"], found["destroyed_at"] is not None) == ("destroyed", True)
    (line,) = call("resource.history", id=orphan)["items"]
    assert line.pop("at").endswith("Z")
    assert line == {"run_id": 7, "action": "destroyed", "by": "operator1", "note": REASON}


@pytest.mark.parametrize("state", ["active", "destroyed"])
def test_only_an_orphan_can_be_forgotten(put, state):
    resource = put(state)

    with pytest.raises(Conflict, match=f"is {state}; only an orphaned one") as refused:
        call("resource.forget", id=resource, reason=REASON)

    assert refused.value.data["state"] == state
    assert [row.state for row in rows(Resource)] == [state]


def test_a_forgotten_orphan_that_appears_again_is_listed_again(put):
    call("resource.forget", id=put("orphaned", "id-1"), reason=REASON)
    owner = {
        "run_id": 8, "module": "demo-server", "workspace": "web", "environment": "demo",
        "applicant_userid": "zhangsan", "applicant_name": "张三", "approval": None, "approvers": [],
    }  # fmt: skip

    with transaction():
        service.record(owner, [], orphans={"a.web": "id-1"})

    assert [row.state for row in rows(Resource)] == ["destroyed", "orphaned"]


def test_what_does_not_exist_cannot_be_forgotten(platform):
    with pytest.raises(NotFound):
        call("resource.forget", id=99, reason=REASON)
