"""Pushes: signed and encrypted as DingTalk does it, repeated when not taken, and spoiled on order."""

import json

import pytest
from flask import Flask

from opsplatform.adapters.dingtalk_crypto import normalise
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running


@pytest.fixture
def submit(simulator, server_form):
    return lambda: simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form)


def kinds(subscriber):
    return [event.data["type"] for event in subscriber.events]


def test_a_push_carries_the_current_envelope_and_the_app_key(simulator, subscriber, submit):
    submit()
    simulator.settle()

    event = subscriber.events[0]
    assert event.corp_id == seed.CORP_ID
    assert len(event.event_id) == 32
    assert event.born_at is not None
    assert set(subscriber.owners) == {seed.APP_KEY}
    query = subscriber.queries[0]
    assert (len(query["timestamp"][0]), len(query["nonce"][0])) == (13, 8)


def test_the_older_envelope_has_neither_id_nor_time(simulator, subscriber, submit):
    simulator.subscribe(subscriber.url, envelope="older", owner_key=seed.CORP_ID)

    submit()
    simulator.settle()

    (start, _) = (line["body"] for line in simulator.pushes())
    assert {"eventId", "BizId", "EventTime", "CorpId"}.isdisjoint(start)
    assert start["corpId"] == seed.CORP_ID
    assert set(subscriber.owners) == {seed.CORP_ID}


@pytest.mark.parametrize("names", [["msg_signature"], ["signature", "msg_signature"]])
def test_the_signature_can_have_its_other_name_or_both(simulator, subscriber, submit, names):
    simulator.adjust(signature_names=names)

    submit()
    simulator.settle()

    assert len(subscriber.events) == 2
    assert set(names) <= set(subscriber.queries[0])


@pytest.mark.parametrize(
    "answer",
    [({}, 500), ({}, 200), ("<html>", 200), ("success", 200), ({}, 302, {"Location": "/elsewhere"})],
    ids=["status", "empty", "page", "plain", "redirect"],
)
def test_a_push_that_is_not_taken_is_repeated_with_the_same_event_id(simulator, subscriber, submit, answer):
    subscriber.broken = [answer]

    instance_id = submit()
    simulator.settle()

    first, *_, repeated = sorted(simulator.pushes(instance_id), key=lambda line: (line["attempt"], line["at"]))
    assert (first["ok"], repeated["ok"], repeated["attempt"]) == (False, True, 2)
    assert first["event_id"] == repeated["event_id"]
    assert first["error"]
    assert subscriber.queries[0] != subscriber.queries[-1]


def test_a_repetition_can_be_signed_as_the_first(simulator, subscriber, submit):
    simulator.adjust(sign_anew=False)
    subscriber.broken = [({}, 500), ({}, 500)]

    submit()
    simulator.settle()

    queries = [json.dumps(query) for query in subscriber.queries]
    assert (len(queries), len(set(queries))) == (4, 2)


def test_a_push_is_given_up_after_two_repetitions(simulator, subscriber, submit):
    subscriber.broken = [({}, 500)] * 6

    submit()
    simulator.settle()

    assert [line["ok"] for line in simulator.pushes()] == [False] * 6
    assert subscriber.events == []


def test_repetitions_wait_for_their_time(simulator, subscriber, submit):
    simulator.adjust(retry_delays=[60])
    subscriber.broken = [({}, 500)] * 2

    submit()

    assert simulator.settle()
    assert len(simulator.pushes()) == 2


def test_a_slow_subscriber_is_not_waited_for(simulator, subscriber, submit):
    simulator.adjust(push_timeout=0.1, retry_delays=[])
    simulator.subscribe(subscriber.url.replace("/callback", "/slow"))

    submit()
    simulator.settle()

    assert ["no answer within 0.1 s" in line["error"] for line in simulator.pushes()] == [True, True]


def test_settling_says_when_it_waited_in_vain(simulator, subscriber, submit):
    simulator.subscribe(subscriber.url.replace("/callback", "/slow"))

    submit()

    assert simulator.settle(0.05) is False


def test_a_subscriber_that_is_not_there_does_not_stop_anybody(simulator, submit):
    with running(Flask("gone")) as url:
        pass
    simulator.subscribe(f"{url}/nobody")

    submit()

    assert simulator.settle()
    assert {line["error"].partition(";")[0] for line in simulator.pushes()} == {"POST /nobody: cannot connect"}


def test_without_a_subscriber_nothing_is_pushed(server_form):
    with running(create_simulator()) as url:
        lonely = Simulator(url)
        lonely.submit("PROC-DEMO-SERVER", "zhangsan", server_form)

        assert lonely.settle()
        assert lonely.pushes() == []


def test_a_duplicate_is_the_same_event_twice(simulator, subscriber, submit):
    simulator.fault("push.duplicate", path="bpms_instance_change/start")

    submit()
    simulator.settle()

    assert kinds(subscriber) == ["start"] * 3
    assert len({event.dedupe_key for event in subscriber.events}) == 2


def test_a_dropped_push_never_arrives(simulator, subscriber, submit):
    simulator.fault("push.drop")

    submit()
    simulator.settle()

    assert [event.event_type for event in subscriber.events] == ["bpms_task_change"]


def test_a_delayed_push_is_overtaken(simulator, subscriber, submit, wait_for):
    simulator.fault("push.delay", seconds=0.3, path="bpms_instance_change/start")
    instance_id = submit()
    simulator.agree(instance_id)

    wait_for(lambda: len(subscriber.events) == 4)

    assert [event.data["type"] for event in subscriber.events][-1] == "start"
    assert subscriber.events[-1].event_type == "bpms_instance_change"


def test_the_pushes_of_a_step_can_be_reversed(simulator, subscriber, submit):
    instance_id = submit()
    simulator.fault("step.reorder")
    simulator.agree(instance_id)
    simulator.settle()

    assert [event.event_type for event in subscriber.events[2:]] == ["bpms_instance_change", "bpms_task_change"]


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("push.wrong_signature", "signature"),
        ("push.wrong_owner", "another app"),
        ("push.tampered", ""),
    ],
)
def test_a_forged_push_is_refused_and_the_repetition_is_genuine(simulator, subscriber, submit, kind, detail):
    simulator.fault(kind)

    submit()
    simulator.settle()

    assert len(subscriber.refused) == 1
    assert detail in subscriber.refused[0]
    assert len(subscriber.events) == 2


def test_a_push_can_be_about_another_corp_or_template(simulator, subscriber, submit):
    simulator.fault("push.rewrite", fields={"CorpId": "dingother", "processCode": "PROC-OTHER"})

    submit()
    simulator.settle()

    event = subscriber.events[0]
    assert (event.corp_id, event.data["processCode"]) == ("dingother", "PROC-OTHER")


def test_the_log_tells_what_was_sent(simulator, subscriber, submit):
    instance_id = submit()
    simulator.settle()

    line = simulator.pushes(instance_id)[0]
    assert normalise(json.dumps(line["body"])) == subscriber.events[0]
    assert line["milliseconds"] > 0
    assert simulator.pushes("another") == []


def test_approvals_keep_their_order_while_many_are_pushed(simulator, subscriber, submit):
    ids = [submit() for _ in range(12)]
    for instance_id in ids:
        simulator.agree(instance_id)

    assert simulator.settle(20)
    for instance_id in ids:
        steps = [event.data["type"] for event in subscriber.events if event.data["processInstanceId"] == instance_id]
        assert steps == ["start", "start", "finish", "finish"]


def test_a_reset_forgets_everything_but_the_subscription(simulator, subscriber, submit):
    submit()
    simulator.settle()
    simulator.adjust(retry_delays=[5], clock_ahead=100)
    simulator.reset()

    assert (simulator.instances(), simulator.pushes(), simulator.notifications()) == ([], [], [])
    assert simulator.adjust()["retry_delays"] == [0, 0]
    assert simulator.adjust()["clock_ahead"] == 0
    submit()
    simulator.settle()
    assert len(subscriber.events) == 4
