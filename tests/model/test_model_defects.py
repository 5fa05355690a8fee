"""The checker can fail: every defect that is put into the model breaks a promise, and the trace says how.

Several of them were defects of the product until the model found them: decisions that did not lock, a cancel that came
too late to be heard, waiting that counted as an attempt, an agreement older than the plan it was taken for, a decision
that no retry ever heard of, a Terraform that started after its run was settled.
"""

import pytest

from tests.model import beginnings, protocol
from tests.model.checking import Explorer, Model
from tests.model.world import Rules

CALM = {"replays": False, "deleting": False, "lagging": False, "tampering": False}
TWO = {**CALM, "approvals": 2}

DEFECTS = {
    "fence_is_checked": (CALM, beginnings.queued, {"table", "lock"}),
    "claim_needs_the_status": (CALM, beginnings.queued, {"table"}),
    "decisions_lock": (CALM, beginnings.queued, {"end", "table", "lock"}),
    "digest_is_compared": ({**CALM, "tampering": True}, beginnings.queued, {"digest"}),
    "workspace_is_held": (TWO, beginnings.waiting, {"alone", "lock"}),
    "hold_comes_before_compare": (TWO, beginnings.queued, {"digest"}),
    "apply_is_never_repeated": (CALM, beginnings.queued, {"once"}),
    "start_and_settle_exclude_each_other": (CALM, beginnings.queued, {"lock", "row"}),
    "settle_stops_the_process": (CALM, beginnings.queued, {"lock"}),
    "applying_is_committed_first": (CALM, beginnings.queued, {"row"}),
    "cancel_is_honoured": (CALM, beginnings.nothing, {"stop"}),
    "waiting_is_no_attempt": ({**TWO, "most_attempts": 1}, beginnings.waiting, {"patience"}),
    "changed_module_needs_a_look": ({**CALM, "tampering": True}, beginnings.nothing, {"live"}),
    "late_plan_needs_a_look": (CALM, beginnings.late, {"live"}),
    "ended_runs_are_decided": ({**CALM, "chain": 2}, beginnings.canceled, {"way out"}),
}


def explore(name, **rules):
    """The world with one defect."""
    sizes, begin, _ = DEFECTS[name]
    defect = Rules(**{**sizes, name: False, **rules})
    return protocol.explore(defect, start=begin(defect), most_states=300_000).found.broken


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_breaks_a_promise_and_is_traced(name):
    broken = explore(name)

    assert broken is not None
    assert broken.promise in DEFECTS[name][2]
    trace = broken.told(protocol.show)
    print(f"without {name}:\n{trace}")
    assert trace.startswith(f"broken: {broken.promise}")


def test_every_switch_of_the_model_has_its_defect():
    switches = {name for name, value in vars(Rules()).items() if value is True}

    assert switches - {"tampering", "deleting", "replays", "lagging"} == DEFECTS.keys()


@pytest.mark.parametrize("forgotten", ["pending", "planning", "apply_queued", "applying", "received"])
def test_a_sweeper_that_forgets_a_status_leaves_runs_without_a_way_out(forgotten):
    swept = Rules().swept - {forgotten}
    begin = beginnings.nothing if forgotten in {"pending", "planning", "received"} else beginnings.queued
    rules = Rules(**CALM, workers=1, offers=(True,), swept=swept)

    broken = protocol.explore(rules, start=begin(rules)).found.broken

    assert broken is not None
    assert broken.promise == "way out"


def test_a_trace_is_the_shortest_way_and_each_step_leads_to_the_next():
    broken = explore("apply_is_never_repeated")
    steps = [label[0] for label, _ in broken.trace]

    first, again = ["apply.begin", "apply.ticket", "apply.start"], ["apply.begin_again", "apply.ticket", "apply.start"]
    assert steps == ["begin", *first, "lapse", *again]


def test_the_explorer_finds_all_states_and_the_dead_end_of_a_small_machine():
    def successors(number):
        yield ("double", 0), min(number * 2, 64), True
        yield ("drop", 0), 7, False

    healthy = Explorer(Model(1, successors, at_rest=lambda number: number == 64))
    stuck = Explorer(Model(1, lambda n: iter([(("stay", 0), 7 if n == 7 else n * 2 % 128 or 7, n != 7)]), at_rest=bool))

    assert (healthy.run().states, healthy.found.broken) == (11, None)
    assert {*healthy.states} == {1, 2, 4, 8, 16, 32, 64, 7, 14, 28, 56}
    stuck._model.at_rest = lambda number: number == 1
    assert stuck.run().broken.promise == "way out"
