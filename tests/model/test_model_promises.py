"""Every state of small but whole worlds is looked at; the large ones are left to `python -m tests.model.run`."""

import os

import pytest

from opsplatform.approvals.models import MACHINE as APPROVALS
from opsplatform.runs.models import MACHINE as RUNS
from tests.model import notices, protocol
from tests.model.checking import Explorer
from tests.model.run import LARGE, SMALL
from tests.model.world import MADE, IllegalMove, Rules, move

WHOLE = os.environ.get("OPS_CHAOS") == "full"
PLACES = (*SMALL, *(LARGE if WHOLE else ()))


@pytest.fixture(scope="module")
def explored():
    """The small worlds, each explored once, and every move that was made there."""
    move.cache_clear()
    MADE.clear()
    found = {place.name: place.explore().found for place in SMALL}
    return found, set(MADE)


@pytest.mark.parametrize("place", PLACES, ids=[place.name for place in PLACES])
def test_every_promise_holds_in_every_state(place, explored, capsys):
    found = explored[0].get(place.name) or place.explore().found

    with capsys.disabled():
        print(f"\n{place.name}: {found.states:,} states, {found.transitions:,} transitions, {found.seconds:.1f} s")
    assert found.broken is None, found.broken.told(protocol.show)
    assert found.complete or place.most_states <= found.states


def test_a_notice_is_told_once_unless_its_worker_died_while_telling_it():
    found = Explorer(notices.model()).run()

    assert found.broken is None
    assert found.complete


def test_a_notice_whose_worker_died_may_be_told_twice_which_no_key_of_ours_can_prevent():
    explorer = Explorer(notices.model())
    explorer.run()

    assert any(notice.told > 1 for notice in explorer.states)


def test_the_model_makes_every_move_of_the_tables_by_whom_they_name_and_no_other(explored):
    tables = {(one.source.value, one.target.value, one.cause) for one in (*RUNS.moves, *APPROVALS.moves)}

    assert tables == explored[1]


def test_a_move_that_the_table_does_not_name_is_refused():
    with pytest.raises(IllegalMove):
        move(RUNS, "applying", "apply_queued", RUNS.moves[0].cause)


def test_all_defects_are_off_where_promises_are_checked():
    usual = Rules()

    for place in (*SMALL, *LARGE):
        flags = {name: value for name, value in vars(usual).items() if value is True}
        sizes = {"tampering", "deleting", "replays", "lagging"}
        assert {name: getattr(place.rules, name) for name in flags if name not in sizes} == {
            name: True for name in flags if name not in sizes
        }
