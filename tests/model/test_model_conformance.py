"""The model does what the product does: from sampled states, each step is taken by both and the rows are compared."""

from collections import defaultdict
from dataclasses import replace
from random import Random

import pytest

from opsplatform.runs import planning
from tests.model import acting, protocol, staging
from tests.model.beginnings import queued
from tests.model.world import Rules, Worker

PER_STEP = 14
WALKS, LONGEST = 300, 60
WORLDS = {
    "a run and its retry": Rules(workers=2, chain=2, offers=(True,)),
    "two approvals": Rules(workers=2, approvals=2, offers=(True,), deleting=False, lagging=False),
    "bound later": Rules(workers=2, binding=True, offers=(True,)),
}
DEFECTS = {
    "waiting_is_no_attempt": "two approvals",
    "cancel_is_honoured": "two approvals",
    "changed_module_needs_a_look": "two approvals",
    "late_plan_needs_a_look": "a run and its retry",
    "ended_runs_are_decided": "a run and its retry",
}


def steps_of_the_product(world, rules):
    """The steps that the stage can play, with all that each may lead to."""
    found = defaultdict(list)
    for label, after, _own in protocol.steps(world, rules):
        if label[0] in acting.STEPS and fits_the_stage(world, label):
            found[label].append(staging.expected(after))
    return found


def fits_the_stage(world, label):
    """A replay takes the newest event, and one event at a time arrives."""
    name, row = label
    if name == "again":
        stored = [event.status for event in world.approvals[row].events if event.status in {"received", "done"}]
        return stored[-1] == "done"
    if name == "arrives":
        return [event.status for event in world.approvals[row].events].count("sent") == 1
    return True


def samples(rules, per_step, honest=None):
    """States met by chance, with a step to take; beside `honest` rules only steps that lead elsewhere there."""
    wanted = defaultdict(dict)
    for world in protocol.wander(rules, Random(4711), walks=WALKS, longest=LONGEST):
        usual = steps_of_the_product(world, honest) if honest else {}
        for label, afters in steps_of_the_product(world, rules).items():
            if len(wanted[label[0]]) < per_step and usual.get(label) != afters:
                wanted[label[0]][world, label] = afters
    return [(*step, afters) for found in wanted.values() for step, afters in found.items()]


def differences(platform, chosen, rules):
    """Where the product leads elsewhere than the model."""
    found = []
    for number, (world, label, allowed) in enumerate(chosen):
        stage = staging.put(platform, number, world, rules)
        acting.take(stage, world, label)
        seen = staging.read(stage)
        if seen not in allowed:
            found.append((label, protocol.show(world), seen, allowed))
    return found


@pytest.fixture(autouse=True)
def _few_attempts(monkeypatch):
    monkeypatch.setattr(planning, "MOST_ATTEMPTS", Rules().most_attempts)


@pytest.mark.parametrize("name", WORLDS)
def test_each_step_leads_where_the_model_says(platform, name):
    chosen = samples(WORLDS[name], PER_STEP)

    assert differences(platform, chosen, WORLDS[name]) == []
    assert len(chosen) >= 200


@pytest.mark.parametrize("defect", DEFECTS)
def test_wherever_a_model_with_a_defect_does_otherwise_it_is_noticed(platform, defect):
    honest = WORLDS[DEFECTS[defect]]
    chosen = samples(replace(honest, **{defect: False}), 3, honest)

    found = differences(platform, chosen, honest)

    assert len(found) == len(chosen) > 0


def test_the_sweeper_wakes_a_worker_for_whatever_the_models_workers_take(platform):
    rules, different, woken = WORLDS["a run and its retry"], [], set()
    worlds = list(protocol.wander(rules, Random(7), walks=20, longest=40))

    for number, world in enumerate([queued(rules), *Random(7).sample(worlds, 60)]):
        stage = staging.put(platform, number, world, rules)
        platform.waiting()
        for task in ("runs.sweep", "approvals.sweep"):
            platform.do(task)
        ours = {"run_id": set(stage.runs.values()), "event_id": set(stage.events.values())}
        messages = {(task, *values.items()) for task, values in platform.waiting()}
        seen = {(task, pair[1]) for task, pair in messages if pair[1] in ours[pair[0]]}
        if seen != wanted(world, stage):
            different.append((protocol.show(world), seen))
        woken |= {task for task, _ in seen}

    assert different == []
    assert woken == {"runs.plan", "runs.apply", "runs.settle", "approvals.handle_event"}


def wanted(world, stage):
    """What the workers of the model may take here, as messages."""
    tasks = {"plan.begin": "runs.plan", "apply.begin": "runs.apply", "settle.take": "runs.settle"}
    idle = world._replace(workers=(Worker(),) * len(world.workers))
    steps = [label for label, _after, _own in protocol.steps(idle, stage.rules)]
    runs = {(tasks[name], stage.runs[row]) for name, row in steps if name in tasks}
    events = {row for name, row in steps if name in {"event.take", "event.ignore"}}
    return runs | {("approvals.handle_event", stage.events[divmod(row, 3)]) for row in events}


def test_every_step_of_the_model_is_compared_or_named_as_outside():
    taken = {
        label[0]
        for rules in WORLDS.values()
        for world in protocol.wander(rules, Random(4711), walks=WALKS, longest=LONGEST)
        for label, _after, _own in protocol.steps(world, rules)
    }

    assert taken <= acting.STEPS.keys() | acting.OUTSIDE
    assert acting.STEPS.keys() <= taken
