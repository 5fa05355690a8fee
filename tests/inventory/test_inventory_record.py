"""What a state holds becomes what the inventory shows."""

from types import SimpleNamespace

import pytest

from opsplatform.core.db import db, transaction
from opsplatform.core.errors import NotFound
from opsplatform.inventory import service
from opsplatform.inventory.models import Resource, ResourceEvent
from tests.miniatures import count, rows

APPROVAL = {"id": 5, "instance_id": "PI-1", "business_id": "2026", "title": "申请服务器", "url": "https://x"}


def found(address="a.web", provider_id="id-1", **attributes):
    kind, _, name = address.partition(".")
    return SimpleNamespace(address=address, type=kind, name=name, provider_id=provider_id, attributes=attributes)


@pytest.fixture
def record(platform):
    """Record what a run found in its workspace."""

    def take(*resources, run_id=1, workspace="web", orphans=None):
        owner = {
            "run_id": run_id,
            "module": "demo-server",
            "workspace": workspace,
            "environment": "demo",
            "applicant_userid": "zhangsan",
            "applicant_name": "张三",
            "approval": APPROVAL,
            "approvers": [{"userid": "manager1", "name": "王经理"}],
        }
        with transaction():
            service.record(owner, resources, orphans=orphans or {})

    return take


def history():
    return [(event.resource_id, event.run_id, event.action) for event in rows(ResourceEvent)]


def shown():
    return [(row.address, row.state, row.provider_id) for row in rows(Resource)]


def test_a_new_resource_is_recorded_with_who_when_and_who_approved(record):
    record(found(size="small"))

    (row,) = rows(Resource)
    assert (row.address, row.type, row.name, row.state) == ("a.web", "a", "web", "active")
    assert (row.applicant_name, row.approval["business_id"], row.approvers[0]["name"]) == ("张三", "2026", "王经理")
    assert row.attributes == {"size": "small"}
    assert (row.created_at is not None, row.destroyed_at) == (True, None)
    assert history() == [(row.id, 1, "created")]


def test_the_name_its_owner_gave_goes_before_the_one_in_the_module(record):
    record(found(name="web-01"))

    assert rows(Resource)[0].name == "web-01"


def test_what_has_not_changed_leaves_no_trace(record):
    record(found(size="small"))
    record(found(size="small"), run_id=2)

    assert len(history()) == 1
    assert rows(Resource)[0].run_id == 1


def test_a_change_keeps_the_resource_and_says_which_run_did_it(record):
    record(found(size="small"))
    record(found(size="large"), run_id=2)

    (row,) = rows(Resource)
    assert (row.attributes, row.run_id) == ({"size": "large"}, 1)
    assert history() == [(row.id, 1, "created"), (row.id, 2, "changed")]


def test_a_replacement_ends_one_resource_and_begins_another(record):
    record(found(provider_id="id-1"))
    record(found(provider_id="id-2"), run_id=2)

    assert shown() == [("a.web", "destroyed", "id-1"), ("a.web", "active", "id-2")]
    assert [(run, action) for _, run, action in history()] == [(1, "created"), (2, "destroyed"), (2, "created")]


def test_what_the_state_no_longer_holds_was_destroyed(record):
    record(found("a.web"), found("a.db"))
    record(found("a.web"), run_id=2)

    assert shown() == [("a.web", "active", "id-1"), ("a.db", "destroyed", "id-1")]
    assert rows(Resource)[1].destroyed_at is not None


def test_a_destroyed_resource_that_comes_back_is_a_new_one(record):
    record(found())
    record(run_id=2)
    record(found(), run_id=3)

    assert shown() == [("a.web", "destroyed", "id-1"), ("a.web", "active", "id-1")]


def test_another_workspace_is_another_world(record):
    record(found(), workspace="web")
    record(found(), workspace="db")
    record(workspace="db", run_id=3)

    assert [(row.workspace, row.state) for row in rows(Resource)] == [("web", "active"), ("db", "destroyed")]


def test_what_exists_outside_the_state_is_orphaned_and_says_how_to_take_it_in(record):
    record(found(), orphans={"module.m.b.disk[0]": "disk-1", "b.other": None})

    disk, other = rows(Resource, Resource.state == "orphaned")
    assert (disk.type, disk.name, disk.provider_id) == ("b", "disk", "disk-1")
    assert disk.attributes["import_command"] == "terraform import 'module.m.b.disk[0]' 'disk-1'"
    assert other.attributes["import_command"] == "terraform import 'b.other' '<id>'"
    assert sorted(action for _, _, action in history()) == ["created", "orphaned", "orphaned"]


def test_an_orphan_stays_until_the_state_holds_it_and_is_then_taken_over(record):
    record(orphans={"a.web": "id-1"})
    record(run_id=2)
    still = shown()
    record(found(), run_id=3)

    assert still == [("a.web", "orphaned", "id-1")]
    assert shown() == [("a.web", "destroyed", "id-1"), ("a.web", "active", "id-1")]


def test_an_orphan_in_the_place_of_an_active_resource_hides_nothing(record):
    record(found(provider_id="id-1"))
    record(orphans={"a.web": "id-2"}, run_id=2)

    assert ("a.web", "orphaned", "id-2") in shown()


def test_a_run_that_made_nothing_leaves_nothing(record):
    record()

    assert count(Resource) == 0


def test_long_texts_of_a_provider_are_cut_to_what_the_columns_hold(record):
    record(found("a.web", "i" * 900, name="n" * 900))

    (row,) = rows(Resource)
    assert (len(row.provider_id), len(row.name)) == (512, 255)


def test_five_thousand_resources_are_recorded_with_their_history(record):
    record(*(found(f"a.web[{n}]", f"id-{n}") for n in range(5000)))

    created = {(event.resource_id, event.action) for event in rows(ResourceEvent)}
    assert {(row.id, "created") for row in rows(Resource)} == created
    assert len(created) == 5000


def test_a_resource_is_found_with_its_history(record):
    record(found())
    record(run_id=2)
    (row,) = rows(Resource)

    assert service.get(row.id) is row
    assert [event.action for event in db.session.scalars(service.history(row.id))] == ["created", "destroyed"]


def test_a_resource_that_does_not_exist_is_not_found(platform):
    with pytest.raises(NotFound, match="no resource 4711"):
        service.get(4711)
    with pytest.raises(NotFound):
        service.history(4711)
