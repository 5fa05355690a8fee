"""Orphans stay on the record until the state holds that very object."""

from types import SimpleNamespace

import pytest

from opsplatform.core.db import transaction
from opsplatform.inventory import service
from opsplatform.inventory.models import Resource
from tests.miniatures import rows


@pytest.fixture
def record(platform):
    def take(held=None, orphans=None):
        owner = {
            "run_id": 1,
            "module": "demo-server",
            "workspace": "web",
            "environment": "demo",
            "applicant_userid": "zhangsan",
            "applicant_name": "张三",
            "approval": None,
            "approvers": [],
        }
        found = [
            SimpleNamespace(address=address, type="a", name="web", provider_id=provider_id, attributes={})
            for address, provider_id in (held or {}).items()
        ]
        with transaction():
            service.record(owner, found, orphans=orphans or {})

    return take


def shown():
    return [(row.state, row.provider_id) for row in rows(Resource)]


@pytest.mark.parametrize("orphan", ["id-1", None])
def test_another_object_in_its_place_does_not_end_an_orphan(record, orphan):
    record(orphans={"a.web": orphan})

    record(held={"a.web": "id-2"})

    assert shown() == [("orphaned", orphan), ("active", "id-2")]


def test_an_orphan_ends_when_it_is_taken_in_at_whatever_address(record):
    record(orphans={"a.web": "id-1"})

    record(held={"a.other": "id-1"})

    assert shown() == [("destroyed", "id-1"), ("active", "id-1")]


def test_the_object_an_orphan_replaced_is_gone(record):
    record(held={"a.web": "id-1"})

    record(orphans={"a.web": None})

    assert shown() == [("destroyed", "id-1"), ("orphaned", None)]


def test_an_orphan_is_listed_once(record):
    record(orphans={"a.web": "id-1"})

    record(orphans={"a.web": "id-1"})

    assert shown() == [("orphaned", "id-1")]


def test_several_orphans_of_one_address_stay_several(record):
    record(orphans={"a.web": "id-1"})
    record(orphans={"a.web": "id-2"})

    record(held={"a.web": "id-3"})

    assert shown() == [("orphaned", "id-1"), ("orphaned", "id-2"), ("active", "id-3")]
