"""From events to decisions: in any order, several at once, late or doubled, the end is the same."""

import itertools
import threading

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from opsplatform.approvals import inbox, service
from opsplatform.approvals.models import Approval, InboxEvent, Person
from opsplatform.catalog import service as catalog
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import NotFound, UpstreamError
from opsplatform.inventory.models import Resource
from opsplatform.runs import planning
from opsplatform.runs import service as runs
from opsplatform.runs.models import Run
from tests.miniatures import an_event, count, rows


@pytest.fixture
def push(platform):
    """Store events as if DingTalk had pushed them."""

    def store(*events):
        for event in events:
            with transaction():
                inbox.receive(event)

    return store


@pytest.fixture
def handle(platform, push):
    """Store events and do everything that follows."""

    def do(*events):
        push(*events)
        platform.work()

    return do


def approval():
    (found,) = rows(Approval)
    return found


def run():
    (found,) = rows(Run)
    return found


def event_of(kind):
    return next(event for event in rows(InboxEvent) if event.data["type"] == kind)


def make_due():
    with transaction():
        db.session.execute(update(InboxEvent).values(next_at=0.0, wake_at=0.0))


def test_a_form_becomes_a_run_and_the_approval_remembers_who_and_what(platform, handle):
    platform.dingtalk.submit()

    handle(an_event("start", url="https://x/?a\\u003d1\\u0026b"))

    found = approval()
    assert (found.status, found.module, found.applicant_name, found.business_id) == (
        "pending",
        "demo-server",
        "张三",
        "202601020304",
    )
    assert found.url == "https://x/?a=1&b"
    assert found.approvers == [{"userid": "manager1", "name": "王经理", "result": None, "at": None}]
    assert (run().status, run().workspace, run().approval_id) == ("planned", f"demo-server-{found.id}", found.id)
    assert event_of("start").status == "done"


def test_the_outcome_carries_who_decided_and_when(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start"))
    platform.dingtalk.end()

    handle(an_event("finish", result="agree"))

    assert approval().approvers == [
        {"userid": "manager1", "name": "王经理", "result": "agree", "at": "2026-01-02T04:00:00Z"}
    ]
    assert (approval().status, approval().finished_at.isoformat()) == ("agreed", "2026-01-02T04:00:00+00:00")
    assert run().status == "applied"


@pytest.mark.parametrize("order", list(itertools.permutations(["start", "task", "finish"])))
@pytest.mark.parametrize("doubled", [False, True])
def test_in_whatever_order_events_come_one_run_is_applied_once(platform, handle, order, doubled):
    platform.dingtalk.submit()
    platform.dingtalk.end()
    events = {
        "start": an_event("start"),
        "task": an_event("finish", EventType="bpms_task_change", taskId=1),
        "finish": an_event("finish", result="agree", finishTime=1767326400000),
    }

    for name in order:
        handle(*[events[name]] * (2 if doubled else 1))

    assert (approval().status, run().status) == ("agreed", "applied")
    assert (len(platform.terraform.applies), count(Resource)) == (1, 1)


@pytest.mark.parametrize(
    ("decided", "then"),
    [
        ({"result": "agree"}, {"status": "TERMINATED"}),
        ({"result": "refuse"}, {"result": "agree"}),
        ({"status": "TERMINATED"}, {"result": "agree"}),
    ],
)
def test_a_later_event_never_undoes_a_decision(platform, handle, decided, then):
    platform.dingtalk.submit()
    handle(an_event("start"))
    platform.dingtalk.end(**decided)
    handle(an_event("finish", finishTime=1))
    before = (approval().status, run().status)

    platform.dingtalk.end(**then)
    handle(an_event("finish", finishTime=2), an_event("start", createTime=3), an_event("delete"))

    assert (approval().status, run().status) == before
    assert len(platform.terraform.applies) == (1 if decided == {"result": "agree"} else 0)


def test_two_events_of_one_approval_at_once_make_one_run(platform, push):
    platform.dingtalk.submit()
    platform.dingtalk.end()
    push(an_event("start"), an_event("finish", result="agree"))
    messages = platform.waiting()
    meet = threading.Barrier(2)
    errors = []

    def work(task, values):
        meet.wait()
        try:
            platform.do(task, **values)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    workers = [threading.Thread(target=work, args=message) for message in messages]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    platform.work()
    platform.do("approvals.sweep")
    platform.work()

    assert errors == []
    assert (approval().status, run().status, len(platform.terraform.applies)) == ("agreed", "applied", 1)


def test_an_agreement_after_a_cancel_runs_nothing(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start"))
    with transaction():
        runs.cancel(run().id, by="admin", reason=None)
    platform.dingtalk.end()

    handle(an_event("finish", result="agree"))

    assert (approval().status, run().status) == ("agreed", "canceled")
    assert platform.terraform.applies == []


def test_a_refusal_while_planning_ends_the_run_whatever_the_planner_brings(platform, handle):
    platform.dingtalk.submit()
    handle_without_planning(platform, handle)

    def refuse():
        platform.dingtalk.end(result="refuse")
        with platform.context():
            with transaction():
                inbox.receive(an_event("finish", result="refuse"))
            (event,) = rows(InboxEvent, InboxEvent.status == "received")
            platform.do("approvals.handle_event", event_id=event.id)

    platform.terraform.before_work = refuse
    platform.queue.huey.execute(platform.queue._message.s("runs.work", {}))

    assert (approval().status, run().status, run().plan) == ("refused", "discarded", None)


def handle_without_planning(platform, handle):
    """The start was handled and nobody has planned yet."""
    with transaction():
        inbox.receive(an_event("start"))
    platform.work(without=("runs.work",))


def test_an_approval_deleted_in_dingtalk_runs_nothing(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start"))

    handle(an_event("delete"))

    assert (approval().status, run().status) == ("terminated", "discarded")


def test_an_approval_that_is_gone_when_we_look_is_terminated(platform, handle):
    handle(an_event("start"))

    assert (approval().status, approval().applicant_userid) == ("terminated", "zhangsan")
    assert (count(Run), event_of("start").status) == (0, "done")


@pytest.mark.parametrize(("status", "outcome"), [("CANCELED", "terminated"), ("WHATEVER", "terminated")])
def test_an_end_that_is_neither_agreement_nor_refusal_leads_to_nothing(platform, handle, status, outcome):
    platform.dingtalk.submit()
    handle(an_event("start"))
    platform.dingtalk.end(status=status)

    handle(an_event("finish"))

    assert (approval().status, run().status) == (outcome, "discarded")


def test_an_approval_that_ended_before_its_start_was_seen_orders_nothing_unless_agreed(platform, handle):
    platform.dingtalk.submit()
    platform.dingtalk.end(result="refuse")

    handle(an_event("start"))

    assert (approval().status, count(Run)) == ("refused", 0)


def test_a_dingtalk_that_is_down_is_asked_again_later(platform, handle):
    platform.dingtalk.submit()
    platform.dingtalk.errors["get_instance"] = UpstreamError("dingtalk", "GET: does not answer")
    handle(an_event("start"))
    waiting = (event_of("start").status, event_of("start").note)
    platform.dingtalk.errors.clear()

    make_due()
    platform.do("approvals.sweep")
    platform.work()

    assert waiting == ("received", "GET: does not answer")
    assert run().status == "planned"


def test_a_finish_that_dingtalk_does_not_show_yet_is_looked_at_again(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start"), an_event("finish", result="agree"))
    waiting = (event_of("finish").status, event_of("finish").note)
    platform.dingtalk.end()

    make_due()
    platform.do("approvals.sweep")
    platform.work()

    assert waiting == ("received", "the event says it has ended, DingTalk still shows it running")
    assert run().status == "applied"


def test_a_name_that_cannot_be_had_is_no_reason_to_wait(platform, handle):
    platform.dingtalk.submit()
    platform.dingtalk.errors["get_user"] = UpstreamError("dingtalk", "user: does not answer")

    handle(an_event("start"))

    assert (approval().applicant_name, run().status, count(Person)) == ("zhangsan", "planned", 0)


def test_names_are_asked_for_once_and_again_after_a_week(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start"))
    handle(an_event("start", createTime=2))
    asked = platform.dingtalk.asked.count("get_user")
    with transaction():
        for person in db.session.query(Person):
            person.looked_up_at = person.looked_up_at - service.NAME_LIFE

    handle(an_event("start", createTime=3))

    assert asked == 2
    assert platform.dingtalk.asked.count("get_user") == 4
    assert count(Person) == 2


@pytest.mark.parametrize(
    ("event", "note"),
    [
        (an_event("start", CorpId="dingother"), "another organisation's event"),
        (an_event("start", EventType="org_dept_create"), "not an event that starts or ends an approval"),
        (an_event("start", None), "the event names no approval or no template"),
        (an_event("start", processCode=None), "the event names no approval or no template"),
        (an_event("start", processCode="PROC-LEAVE"), "no module is bound to this template"),
    ],
)
def test_what_is_none_of_our_business_is_stamped_ignored_and_says_why(platform, handle, event, note):
    handle(event)

    (stored,) = rows(InboxEvent)
    assert (stored.status, stored.note) == ("ignored", note)
    assert (count(Run), platform.dingtalk.asked) == (0, [])
    assert [found.status for found in rows(Approval)] == (["ignored"] if "bound" in note else [])


def test_an_event_without_a_corp_is_taken(platform, handle):
    platform.dingtalk.submit()

    handle(an_event("start", CorpId=None))

    assert run().status == "planned"


def test_an_approval_of_a_template_that_was_bound_later_starts_then(platform, handle):
    platform.dingtalk.submit()
    handle(an_event("start", processCode="PROC-LATER"))
    before = approval().status
    with transaction():
        catalog.bind("demo-server", "PROC-LATER", {"name": "TextField-name", "size": "DDSelectField-size"}, "admin")

    with transaction():
        inbox.replay("PI-1")
    platform.work()

    assert before == "ignored"
    assert (approval().status, approval().module, run().status) == ("pending", "demo-server", "planned")


@pytest.mark.parametrize(
    "more",
    [
        {"form": (("TextField-name", "服务器名称", "web-01"), ("DDSelectField-size", "规格", "huge"))},
        {"bizAction": "REVOKE"},
    ],
)
def test_a_form_that_cannot_become_a_run_is_invalid_and_the_applicant_is_told(platform, handle, more):
    platform.dingtalk.submit(**more)
    handle(an_event("start"))
    platform.dingtalk.end()

    handle(an_event("finish", result="agree"))

    assert (approval().status, count(Run)) == ("invalid", 0)
    assert approval().error
    assert approval().finished_at is not None
    assert [who for who, _, _ in platform.dingtalk.notices] == ["zhangsan"]
    assert [text for _, _, text in platform.dingtalk.comments] == [approval().error]


def test_facts_of_a_decided_approval_stay_as_they_were(platform, handle):
    platform.dingtalk.submit()
    platform.dingtalk.end()
    handle(an_event("start"))
    platform.dingtalk.approvals["PI-1"]["title"] = "another title"

    handle(an_event("finish"))

    assert approval().title == "张三提交的申请服务器"


def test_an_event_taken_by_two_workers_is_handled_by_one(platform, push):
    platform.dingtalk.submit()
    push(an_event("start"))
    ((task, values),) = platform.waiting()

    platform.do(task, **values)
    platform.do(task, **values)

    assert platform.dingtalk.asked.count("get_instance") == 1


def test_two_first_events_at_once_of_which_one_stores_the_approval_are_both_handled(platform, push, monkeypatch):
    platform.dingtalk.submit()
    push(an_event("start"))
    record, calls = service.record_instance, []

    def too_late_at_first(*args):
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("INSERT", {}, Exception("it is there"))
        record(*args)

    monkeypatch.setattr(service, "record_instance", too_late_at_first)
    platform.work()

    assert (len(calls), approval().status, run().status) == (2, "pending", "planned")


def test_a_template_that_is_taken_from_its_module_meanwhile_orders_nothing(platform, push, monkeypatch):
    platform.dingtalk.submit()
    push(an_event("start"))
    look = platform.dingtalk.get_instance

    def meanwhile(instance_id):
        with transaction():
            catalog.bind("demo-server", "PROC-OTHER", {"name": "TextField-name", "size": "DDSelectField-size"}, "admin")
        return look(instance_id)

    monkeypatch.setattr(platform.dingtalk, "get_instance", meanwhile)
    with pytest.raises(NotFound, match="any more"):
        platform.work()
    before = (event_of("start").status, count(Run), count(Approval))
    with transaction():
        db.session.execute(update(InboxEvent).values(lease_until=0.0))
    platform.do("approvals.handle_event", event_id=event_of("start").id)

    assert before == ("received", 0, 0)
    assert event_of("start").note == "no module is bound to this template"


def test_an_unknown_approval_is_not_found(platform):
    with pytest.raises(NotFound, match="no approval 4711"):
        service.get(4711)


def test_approvals_are_found_by_every_filter(platform, handle):
    platform.dingtalk.submit("PI-1")
    platform.dingtalk.submit("PI-2", originatorUserId="manager1")
    handle(an_event("start", "PI-1"), an_event("start", "PI-2"), an_event("start", "PI-3", processCode="PROC-LEAVE"))

    def found(**wanted):
        return {row.instance_id for row in db.session.scalars(service.find(**wanted))}

    assert found() == {"PI-1", "PI-2", "PI-3"}
    assert found(status="ignored") == {"PI-3"}
    assert found(applicant="manager1") == {"PI-2"}
    assert found(module="demo-server") == {"PI-1", "PI-2"}
    assert found(module="demo-server", applicant="zhangsan") == {"PI-1"}


def test_planning_is_the_workers_business_and_not_the_events(platform, handle, monkeypatch):
    monkeypatch.setattr(planning, "begin", lambda _run_id: None)
    platform.dingtalk.submit()

    handle(an_event("start"))

    assert run().status == "pending"
