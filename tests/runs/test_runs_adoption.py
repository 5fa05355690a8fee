"""Import blocks for what an earlier run left: only for what can be named, and nothing else gets into them."""

import pytest

from opsplatform.core.db import transaction
from opsplatform.inventory import service as inventory
from opsplatform.runs import adoption
from tests.miniatures import state

OWNER = {
    "run_id": 1,
    "module": "demo-server",
    "workspace": "web",
    "environment": "demo",
    "applicant_userid": "zhangsan",
    "applicant_name": "张三",
    "approval": None,
    "approvers": [],
}


def orphaned(**orphans):
    """Record orphans of the workspace `web`, given as address and id."""
    with transaction():
        inventory.record(OWNER, [], orphans=orphans)


def found(kept=None):
    with transaction():
        return adoption.orphans_of("web", kept)


def test_an_orphan_with_an_id_gets_an_import_block(platform):
    orphaned(**{'module.net["a-b"].x_y.z[3]': "id-1", "terraform_data.unknown": None})

    blocks = adoption.render(found()).decode()

    assert blocks == 'import {\n  to = module.net["a-b"].x_y.z[3]\n  id = "id-1"\n}\n'


def test_the_last_of_several_at_one_place_is_taken_in(platform):
    orphaned(**{"a.b": "older"})
    orphaned(**{"a.b": "newer"})

    assert found() == {"a.b": "newer"}


def test_a_place_the_state_holds_already_takes_nothing_in(platform):
    orphaned(**{"terraform_data.server": "id-2", "terraform_data.disk": "id-3"})

    assert found(state(made={"server": "id-1"})) == {"terraform_data.disk": "id-3"}


@pytest.mark.parametrize(
    "address",
    [
        "a.b\n}\nresource x",
        'a.b["${file(1)}"]',
        'a.b["%{if true}"]',
        'a.b["x\\"]',
        "data.a.b",
        "a",
        "a.b (deposed 1234)",
        "a.b[x]",
        "module.a.b",
    ],
)
def test_an_address_that_is_none_is_left_to_people(platform, address):
    orphaned(**{address: "id-1"})

    assert found() == {}


@pytest.mark.parametrize("provider_id", ["a\nb", "***", "a\x7f"])
def test_an_id_that_cannot_be_written_down_is_left_to_people(platform, provider_id):
    orphaned(**{"a.b": provider_id})

    assert found() == {}


def test_nothing_in_an_id_is_evaluated():
    block = adoption.render({"a.b": 'x"${var.y}%{z}\\名'}).decode()

    assert 'id = "x\\"$${var.y}%%{z}\\\\名"' in block


def test_the_same_orphans_make_the_same_blocks_in_any_order():
    assert adoption.render({"a.a": "1", "b.b": "2"}) == adoption.render({"b.b": "2", "a.a": "1"})
    assert adoption.render({}) == b""


def test_an_error_says_what_was_to_be_taken_in():
    assert adoption.hint({}) == ""
    assert "a.b (id srv-1)" in adoption.hint({"a.b": "srv-1"})
