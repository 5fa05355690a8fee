"""The model does what the product does: from sampled states, each step is taken by both and the rows are compared."""

from collections import defaultdict
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from sqlalchemy import update

from opsplatform.approvals.models import InboxEvent
from opsplatform.core.db import db, transaction
from opsplatform.runs import planning
from opsplatform.runs.models import Run
from tests.model import acting, protocol, staging
from tests.model.beginnings import queued
from tests.model.world import Rules, Worker

PER_STEP = 14
WALKS, LONGEST = 200, 60
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


@cache
def walked(name):
    """States met by chance, each once."""
    return tuple(dict.fromkeys(protocol.wander(WORLDS[name], Random(4711), walks=WALKS, longest=LONGEST)))


def fits_the_stage(world, label):
    """Whether the product's step can be played: a replay takes the newest event, and one event at a time arrives."""
    name, row = label
    if name == "again":
        stored = [event.status for event in world.approvals[row].events if event.status in {"received", "done"}]
        return stored[-1] == "done"
    if name == "arrives":
        return [event.status for event in world.approvals[row].events].count("sent") == 1
    return name in acting.STEPS


def samples(name, per_step):
    """For each step of the product some states in which it can be taken, with all that it may lead to."""
    chosen, enough = [], defaultdict(int)
    for world in walked(name):
        steps = defaultdict(list)
        for label, after, _own in protocol.steps(world, WORLDS[name]):
            if enough[label[0]] < per_step and fits_the_stage(world, label):
                steps[label].append(staging.expected(after))
        for label, allowed in steps.items():
            enough[label[0]] += 1
            chosen.append((world, label, allowed))
    return chosen


def samples_of(defect, name, most):
    """States in which the model with this defect leads elsewhere than the honest one."""
    chosen, wrong = [], replace(WORLDS[name], **{defect: False})
    for world in walked(name):
        honest = {(label, staging.expected(after)) for label, after, _own in protocol.steps(world, WORLDS[name])}
        for label, after, _own in protocol.steps(world, wrong):
            if (label, staging.expected(after)) not in honest and label[0] in acting.STEPS:
                chosen.append((world, label, [staging.expected(after)]))
        if len(chosen) >= most:
            break
    return chosen


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
    chosen = samples(name, PER_STEP)

    assert differences(platform, chosen, WORLDS[name]) == []
    assert len(chosen) >= 200


@pytest.mark.parametrize("defect", DEFECTS)
def test_wherever_a_model_with_a_defect_does_otherwise_it_is_noticed(platform, defect):
    name = DEFECTS[defect]
    chosen = samples_of(defect, name, 3)

    found = differences(platform, chosen, WORLDS[name])

    assert len(found) == len(chosen) > 0


def test_the_sweeper_wakes_a_worker_for_whatever_the_models_workers_take(platform):
    name, different, woken = "a run and its retry", [], set()
    rules = WORLDS[name]

    for number, world in enumerate([queued(rules), *Random(7).sample(walked(name), 60)]):
        forget_earlier_rows()
        stage = staging.put(platform, number, world, rules)
        platform.waiting()
        for task in ("runs.sweep", "approvals.sweep"):
            platform.do(task)
        seen = sorted((task, *values.values()) for task, values in platform.waiting())
        if seen != wanted(world, stage):
            different.append((protocol.show(world), seen))
        woken |= {task for task, *_ in seen}

    assert different == []
    assert woken == {"runs.work", "runs.settle", "approvals.handle_event"}


def forget_earlier_rows():
    """Whatever is in the database by now needs no waking for a long time."""
    with transaction():
        for model in (Run, InboxEvent):
            db.session.execute(update(model).values(wake_at=staging.FAR))


def wanted(world, stage):
    """What the workers of the model may take here, as messages; one that is to work on runs finds them itself."""
    idle = world._replace(workers=(Worker(),) * len(world.workers))
    steps = [label for label, _after, _own in protocol.steps(idle, stage.rules)]
    works = {row for name, row in steps if name in {"plan.begin", "apply.begin"}}
    settles = {stage.runs[row] for name, row in steps if name == "settle.take"}
    events = {stage.events[divmod(row, 3)] for name, row in steps if name in {"event.take", "event.ignore"}}
    messages = [("runs.settle", run_id) for run_id in settles] + [("approvals.handle_event", event) for event in events]
    return sorted([*messages, *[("runs.work",)] * len(works)])


def test_every_step_of_the_model_is_compared_or_named_as_outside():
    taken = {
        label[0]
        for name, rules in WORLDS.items()
        for world in walked(name)
        for label, _after, _own in protocol.steps(world, rules)
    }

    assert taken <= acting.STEPS.keys() | acting.OUTSIDE
    assert acting.STEPS.keys() <= taken
