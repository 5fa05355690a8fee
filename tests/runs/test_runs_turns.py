"""Whose turn it is: fair between applicants, applies first, and nobody stands in the way who cannot work anyway."""

import json

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from opsplatform.adapters.admission import Need
from opsplatform.adapters.process_limits import MB, Used
from opsplatform.core.db import db, epoch, reading, transaction
from opsplatform.runs import costs, service, tasks, turns, waiting
from opsplatform.runs.models import Run, RunCost, RunStatus
from opsplatform.runs.turns import TurnFailed
from opsplatform.states import service as states
from tests.miniatures import rows


@pytest.fixture
def started(platform, monkeypatch):
    """Which runs are taken, in order; a run that was taken stays in work."""
    taken = []

    def keep(turn):
        taken.append(turn.job.run_id)
        with transaction():
            db.session.execute(update(Run).where(Run.id == turn.job.run_id).values(lease_until=epoch() + 3600))

    monkeypatch.setattr(tasks, "_do", keep)
    return taken


@pytest.fixture
def orders(order_run):
    """Order so many runs of an applicant, each in a workspace of its own."""

    def order(applicant, number, **more):
        return [order_run(f"{applicant}-{n}", applicant=applicant, **more) for n in range(number)]

    return order


def cost(step, memory_mb, cores=0.1, seconds=60.0):
    with transaction():
        db.session.merge(RunCost(module="demo-server", step=step, memory_mb=memory_mb, cores=cores, seconds=seconds))


def wait_of(run_id):
    with reading():
        return waiting.waits([service.get(run_id)]).get(run_id)


def work(platform, times):
    platform.waiting()
    for _ in range(times):
        platform.do("runs.work")


def test_one_run_of_an_applicant_does_not_wait_for_the_hundred_of_another(platform, orders, started):
    cost("plan", 1)
    many, one = orders("many", 10), orders("one", 1)

    work(platform, 3)

    assert started == [many[0], one[0], many[1]]


def test_applicants_take_turns_also_where_one_run_at_a_time_is_all_there_is_room_for(platform, orders, run_of):
    a, b = orders("a", 3), orders("b", 3)
    order = []
    platform.terraform.before_work = lambda: order.extend(
        run.id for run in rows(Run, Run.status == RunStatus.PLANNING) if run.id not in order
    )

    platform.work()

    assert order == [a[0], b[0], a[1], b[1], a[2], b[2]]


def test_an_apply_goes_before_plans_and_a_drift_check_after_them(platform, orders, approved, started):
    ready = approved(workspace="ready")
    cost("plan", 1)
    cost("apply", 1)
    drift, plan = orders("drift", 1, kind="drift"), orders("plan", 1)

    work(platform, 3)

    assert started == [ready, plan[0], drift[0]]


def test_a_run_behind_another_in_its_workspace_lets_others_pass(platform, order_run, started):
    cost("plan", 1)
    first, second, other = order_run("web"), order_run("web"), order_run("db")

    work(platform, 3)

    assert started == [first, other]
    assert wait_of(second) == {"waiting_for": "workspace", "position": None, "run_id": first}


def test_a_run_that_waited_for_its_workspace_is_next_when_it_is_free(platform, planned, order_run, run_of, decide):
    first = planned()
    second = order_run()
    platform.work()
    held_up = wait_of(second)

    decide(first, approved=False)
    platform.work()

    assert held_up["run_id"] == first
    assert run_of(second).status == RunStatus.PLANNED


def test_the_sweeper_puts_back_what_waits_for_a_workspace_that_is_free(platform, planned, order_run, run_of):
    first, second = planned(), order_run()
    platform.work()
    with transaction():
        states.release("web", first)

    platform.do("runs.sweep")
    waits = wait_of(second)

    assert run_of(first).status == RunStatus.PLANNED
    assert waits == {"waiting_for": "turn", "position": 1, "run_id": None}


def test_a_quarantined_workspace_waits_for_a_person(platform, order_run):
    run_id = order_run()
    with transaction():
        states.quarantine("web", "the state does not fit")

    platform.work()

    assert wait_of(run_id) == {"waiting_for": "unlock", "position": None, "run_id": None}


@pytest.mark.parametrize(("what", "memory", "cores"), [("memory", 1e9, 0.1), ("cores", 1, 1e3)])
def test_a_run_for_which_there_is_no_room_says_so_and_starts_when_there_is(
    platform, orders, started, run_of, what, memory, cores
):
    cost("plan", memory, cores)
    first, second = orders("a", 2)
    work(platform, 2)
    waits = wait_of(second)

    tasks._ledger().give_back(next(iter(_taken())))
    platform.do("runs.work")

    assert waits == {"waiting_for": what, "position": 1, "run_id": None}
    assert started == [first, second]
    assert run_of(second).held_up is None


def _taken():
    return json.loads(tasks._ledger().path.read_bytes())["taken"]


def test_a_quick_run_passes_the_big_ones_that_find_no_room(platform, orders, order_run, started):
    cost("plan", 1e9)
    orders("big", 3)
    work(platform, 2)
    with transaction():
        db.session.add(RunCost(module="quick", step="plan", memory_mb=80, cores=0.5, seconds=0.1))
    quick = order_run("quick-1", applicant="one")
    with transaction():
        db.session.execute(update(Run).where(Run.id == quick).values(module="quick"))

    with transaction():
        found = [(run_id, need.quick) for run_id, _applicant, _step, need in turns.candidates()]

    assert found[0] == (quick, True)


def test_room_is_given_back_when_a_run_ends_and_when_nothing_was_taken(platform, planned, order_run):
    planned()
    order_run()  # behind the first one
    platform.work()

    assert _taken() == {}


def test_whoever_waits_for_room_is_woken_by_the_run_that_ends(platform, orders, run_of):
    cost("plan", 1e9)
    ledger = tasks._ledger()
    ledger.take("another", Need(1, 0.1, 60), behind=False)
    (run_id,) = orders("a", 1)
    platform.work()
    refused = run_of(run_id).status

    ledger.give_back("another")
    platform.do("runs.work")

    assert (refused, run_of(run_id).status) == (RunStatus.PENDING, RunStatus.PLANNED)


def test_a_wake_up_that_served_another_run_is_passed_on(platform, orders, run_of):
    runs = [*orders("a", 1), *orders("b", 1), *orders("c", 1)]
    platform.waiting()

    platform.queue.put("runs.work", {}, 0)
    platform.work()

    assert {run_of(run_id).status for run_id in runs} == {RunStatus.PLANNED}


def test_the_line_is_as_fair_as_the_turns(platform, orders):
    many, one = orders("many", 3), orders("one", 2)

    places = {run_id: wait_of(run_id)["position"] for run_id in [*many, *one]}

    assert places == {many[0]: 1, one[0]: 2, many[1]: 3, one[1]: 4, many[2]: 5}


@pytest.mark.parametrize(("decided", "what"), [(False, "approval"), (True, "confirmation")])
def test_a_planned_run_waits_for_people(platform, planned, decide, monkeypatch, decided, what):
    if decided:
        monkeypatch.setattr(service, "queue_apply", lambda *_args, **_more: None)
    run_id = planned()
    if decided:
        decide(run_id, approved=True)

    assert wait_of(run_id)["waiting_for"] == what


def test_a_run_in_work_or_at_its_end_waits_for_nothing(platform, order_run, started, decide):
    done = order_run("done")
    decide(done, approved=False)
    working = order_run("working")

    work(platform, 1)

    assert started == [working]
    assert (wait_of(working), wait_of(done)) == (None, None)


class TestWhatAStepCosts:
    """Memory counts at once, the rest fades in."""

    @staticmethod
    def learn(*used):
        for memory_mb, cpu, seconds in used:
            with transaction():
                costs.learn("demo-server", "plan", Used(memory_mb * MB, cpu, seconds))
        with reading():
            row = db.session.get_one(RunCost, ("demo-server", "plan"))
            return (row.memory_mb, round(row.cores, 2), round(row.seconds, 2))

    def test_the_first_time_tells(self, platform):
        assert self.learn((600, 5.0, 10.0)) == (600, 0.5, 10.0)

    def test_more_memory_than_ever_counts_at_once_and_less_only_slowly(self, platform):
        assert self.learn((100, 1.0, 1.0), (600, 1.0, 1.0))[0] == 600
        assert self.learn((100, 1.0, 1.0))[0] == 500

    def test_small_changes_are_not_written(self, platform):
        assert self.learn((100, 1.0, 1.0), (101, 1.05, 1.05)) == (100, 1.0, 1.0)

    def test_a_command_that_never_ran_teaches_nothing(self, platform):
        with transaction():
            costs.learn("demo-server", "plan", Used())

        with reading():
            assert db.session.get(RunCost, ("demo-server", "plan")) is None


def test_a_run_that_cannot_be_taken_lets_the_others_pass_and_is_tried_again(platform, orders, run_of, monkeypatch):
    bad, good = *orders("a", 1), *orders("b", 1)
    begin = turns.planning.begin

    def fail_for_one(run_id):
        if run_id == bad:
            raise ZeroDivisionError("nobody foresaw this")
        return begin(run_id)

    monkeypatch.setattr(turns.planning, "begin", fail_for_one)
    platform.waiting()
    with pytest.raises(TurnFailed):
        platform.do("runs.work")
    platform.work()
    while_bad = (run_of(bad).status, wait_of(bad)["waiting_for"], run_of(good).status, _taken())

    monkeypatch.undo()
    with transaction():
        db.session.execute(update(Run).where(Run.id == bad).values(wake_at=0.0))
    platform.do("runs.sweep")
    platform.work()

    assert while_bad == (RunStatus.PENDING, "trouble", RunStatus.PLANNED, {})
    assert run_of(bad).status == RunStatus.PLANNED


def test_a_database_that_fails_in_the_middle_costs_no_room_and_sets_no_run_aside(platform, orders, run_of, monkeypatch):
    (run_id,) = orders("a", 1)

    def fail(*_args):
        raise OperationalError("UPDATE", {}, Exception("the connection is gone"))

    monkeypatch.setattr(turns, "_note_turn", fail)
    with pytest.raises(OperationalError):
        platform.do("runs.work")

    assert (run_of(run_id).held_up, _taken()) == (None, {})
