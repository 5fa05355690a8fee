"""Approvals: turns, decisions, ends, and what is pushed about them."""

import pytest

from opsplatform.core.errors import UpstreamError


def story(simulator, subscriber, instance_id):
    """What was pushed about an approval, shortened."""
    assert simulator.settle()
    kinds = {"bpms_instance_change": "instance", "bpms_task_change": "task"}
    return [
        " ".join(filter(None, [kinds[event.event_type], event.data["type"], event.data.get("result")]))
        for event in subscriber.events
        if event.data["processInstanceId"] == instance_id
    ]


def refused(call):
    with pytest.raises(UpstreamError) as caught:
        call()
    return caught.value.upstream_code


@pytest.fixture
def submit(simulator, server_form):
    return lambda **more: simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form, **more)


def test_an_agreed_approval_pushes_its_whole_story_in_order(simulator, subscriber, submit):
    instance_id = submit()
    simulator.agree(instance_id)

    assert story(simulator, subscriber, instance_id) == [
        "instance start",
        "task start",
        "task finish agree",
        "instance finish agree",
    ]


def test_events_name_template_people_and_times_as_dingtalk_does(simulator, subscriber, submit):
    instance_id = submit()
    simulator.agree(instance_id, remark="好")
    simulator.settle()

    start, _, decided, finish = (event.data for event in subscriber.events)
    assert (start["processCode"], start["staffId"], start["title"]) == (
        "PROC-DEMO-SERVER",
        "zhangsan",
        "张三提交的申请服务器",
    )
    assert {"result", "finishTime"}.isdisjoint(start)
    assert finish["finishTime"] >= finish["createTime"] == start["createTime"]
    assert (decided["staffId"], decided["remark"], decided["taskId"] > 2**31) == ("manager1", "好", True)
    assert start["processInstanceId"] == instance_id
    assert "-" in instance_id
    assert "_" in instance_id


def test_a_refusal_ends_the_approval(simulator, subscriber, submit):
    instance_id = submit(approvers=["manager1", "lisi"])
    answer = simulator.refuse(instance_id)

    assert (answer["status"], answer["result"]) == ("COMPLETED", "refuse")
    assert story(simulator, subscriber, instance_id)[-2:] == ["task finish refuse", "instance finish refuse"]


def test_withdrawing_takes_the_turns_away_and_has_no_result(simulator, subscriber, submit):
    instance_id = submit()
    answer = simulator.withdraw(instance_id)

    assert (answer["status"], answer["result"]) == ("TERMINATED", "")
    assert story(simulator, subscriber, instance_id)[-2:] == ["task cancel", "instance terminate"]


def test_a_deleted_approval_is_pushed_once_more_and_gone(simulator, subscriber, submit):
    instance_id = submit()
    simulator.delete(instance_id)

    assert story(simulator, subscriber, instance_id)[-1] == "instance delete"
    assert "url" not in subscriber.events[-1].data
    assert refused(lambda: simulator.instance(instance_id)) == "aflowProcessInstNotExist"


def test_steps_follow_each_other(simulator, submit):
    instance_id = submit(approvers=["manager1", "lisi"])

    assert simulator.agree(instance_id, userid="manager1")["status"] == "RUNNING"
    assert refused(lambda: simulator.agree(instance_id, userid="manager1")) == "aflowProcessInstCanNotBeExecuted"
    assert simulator.agree(instance_id, userid="lisi")["result"] == "agree"


def test_everybody_of_an_and_step_must_agree(simulator, subscriber, submit):
    instance_id = submit(approvers=[{"userids": ["manager1", "lisi"], "action": "AND"}])

    simulator.agree(instance_id, userid="lisi")
    assert simulator.agree(instance_id, userid="manager1")["result"] == "agree"
    assert "task cancel" not in story(simulator, subscriber, instance_id)


def test_one_of_an_or_step_is_enough_and_the_others_lose_their_turn(simulator, subscriber, submit):
    instance_id = submit(approvers=[{"userids": ["manager1", "lisi"], "action": "OR"}])

    simulator.agree(instance_id, userid="lisi")

    assert story(simulator, subscriber, instance_id)[3:] == [
        "task finish agree",
        "task cancel",
        "instance finish agree",
    ]


def test_a_turn_can_be_handed_on_without_deciding(simulator, subscriber, submit):
    instance_id = submit()
    simulator.redirect(instance_id, "lisi")

    assert simulator.agree(instance_id, userid="lisi")["result"] == "agree"
    assert story(simulator, subscriber, instance_id)[2:4] == ["task finish redirect", "task start"]


@pytest.mark.parametrize("step", ["agree", "refuse", "withdraw"])
def test_an_ended_approval_stays_as_it_is(simulator, submit, step):
    instance_id = submit()
    simulator.agree(instance_id)

    assert refused(lambda: getattr(simulator, step)(instance_id)) == "aflowProcessInstStatusException"


def test_a_modification_points_to_the_approval_it_changes(simulator, raw, submit):
    first = submit()
    second = submit(biz_action="MODIFY", main_instance_id=first)

    _, answer = raw.get("/v1.0/workflow/processInstances", processInstanceId=first)
    assert answer["result"]["attachedProcessInstanceIds"] == [second]
    assert simulator.instance(second)["main_instance_id"] == first


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"process_code": "PROC-NONE"}, "processCodeError"),
        ({"userid": "nobody"}, "invalidParameter"),
        ({"values": {}}, "formConverterError"),
        ({"values": {"服务器名称": "a", "规格": "huge"}}, "formConverterError"),
        ({"values": {"服务器名称": "a", "规格": "small", "其他": "x"}}, "illegalComponent"),
        ({"dept_id": 3}, "processInstanceInvalidParameter"),
        ({"approvers": ["nobody"]}, "processInstanceInvalidParameter"),
        ({"approvers": ["lisi"] * 21}, "invalidParameter"),
    ],
)
def test_a_form_that_dingtalk_would_not_take_is_refused(simulator, server_form, change, code):
    fields = {"process_code": "PROC-DEMO-SERVER", "userid": "zhangsan", "values": server_form, **change}

    assert refused(lambda: simulator.submit(**fields)) == code
    assert simulator.instances() == []


@pytest.mark.parametrize("tags", [{"team": "ops", "n": "1"}, [{"键": "team", "值": "ops"}, {"键": "n", "值": 1}]])
def test_a_table_may_be_given_as_a_mapping_or_as_rows(simulator, server_form, tags):
    instance_id = simulator.submit("PROC-DEMO-SERVER", "zhangsan", {**server_form, "标签": tags})

    value = simulator.instance(instance_id)["values"][2]["value"]
    assert value.count('"rowNumber"') == 2
    assert '"value": "ops"' in value


def test_numbers_may_be_given_as_numbers(simulator):
    instance_id = simulator.submit("PROC-DEMO-FLEET", "lisi", {"TextField-name": "f", "数量": 12})

    assert simulator.instance(instance_id)["values"][1]["value"] == "12"


def test_a_template_can_be_made_and_edited_and_old_forms_keep_their_labels(simulator):
    field = {"id": "T1", "label": "旧名", "type": "TextField"}
    code = simulator.add_template("表", [field])
    instance_id = simulator.submit(code, "lisi", {"旧名": "x"})

    simulator.add_template("表", [{**field, "label": "新名"}], process_code=code)

    assert simulator.instance(instance_id)["values"][0]["name"] == "旧名"
    assert refused(lambda: simulator.submit(code, "lisi", {"旧名": "x"})) == "illegalComponent"
    simulator.submit(code, "lisi", {"新名": "x"})


def test_a_disabled_template_takes_no_form(simulator):
    code = simulator.add_template("表", [], enabled=False)

    assert refused(lambda: simulator.submit(code, "lisi", {})) == "processCodeError"


def test_whoever_left_cannot_apply(simulator, server_form):
    simulator.add_user("zhangsan", "张三", active=False)

    assert refused(lambda: simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form)) == "invalidParameter"
