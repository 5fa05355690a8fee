"""The DingTalk client against the local DingTalk, over real HTTP."""

import pytest
from flask import Flask

from opsplatform.adapters import dingtalk as dingtalk_module
from opsplatform.adapters.dingtalk import DingTalk, shorten
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running

FORM = {"服务器名称": "web", "规格": "small"}


@pytest.fixture
def simulator():
    with running(create_simulator()) as url:
        yield Simulator(url)


@pytest.fixture
def dingtalk(simulator, monkeypatch):
    monkeypatch.setattr(dingtalk_module, "BUSY_PAUSES", (0, 0))
    return connect(simulator.base_url)


def connect(url, **more):
    fields = {"app_key": f" {seed.APP_KEY} ", "app_secret": f"{seed.APP_SECRET}\n", "agent_id": str(seed.AGENT_ID)}
    return DingTalk(oapi_url=url, api_url=url, **{**fields, **more})


@pytest.fixture
def request_id(simulator):
    return simulator.submit("PROC-DEMO-SERVER", "zhangsan", FORM)


def refusal(call):
    with pytest.raises(UpstreamError) as caught:
        call()
    assert caught.value.system == "dingtalk"
    return caught.value


def test_a_running_approval_is_read(dingtalk, request_id):
    instance = dingtalk.get_instance(request_id)

    assert (instance.instance_id, instance.status, instance.result) == (request_id, "RUNNING", "")
    assert (instance.originator_userid, instance.originator_dept_name) == ("zhangsan", "研发部")
    assert [(value.id, value.name, value.value) for value in instance.values] == [
        ("TextField-name", "服务器名称", "web"),
        ("DDSelectField-size", "规格", "small"),
        ("TableField-tags", "标签", instance.values[2].value),
    ]
    assert instance.created_at is not None
    assert instance.finished_at is None


def test_an_agreed_approval_names_who_decided(dingtalk, simulator, request_id):
    simulator.agree(request_id, remark="好")

    instance = dingtalk.get_instance(request_id)

    assert instance.approved
    decision = instance.operations[-1]
    assert (decision.userid, decision.type, decision.result, decision.remark) == (
        "manager1",
        "EXECUTE_TASK_NORMAL",
        "AGREE",
        "好",
    )
    assert (instance.tasks[0].status, instance.tasks[0].result) == ("COMPLETED", "AGREE")


def test_an_approval_that_is_not_there_is_refused_with_dingtalks_code(dingtalk):
    error = refusal(lambda: dingtalk.get_instance("no-such_1"))

    assert (error.upstream_code, error.certain) == ("processInstanceNotExist", True)


def test_a_comment_arrives(dingtalk, simulator, request_id):
    dingtalk.comment(request_id, "计划：新增 1 项", "manager1")

    assert simulator.comments(request_id) == ["计划：新增 1 项"]


def test_a_long_comment_is_cut_to_what_dingtalk_takes(dingtalk, simulator, request_id):
    dingtalk.comment(request_id, "😀" * 800, "manager1")

    (text,) = simulator.comments(request_id)
    assert text == "😀" * 511 + "…"


def test_only_an_employee_can_comment(dingtalk, request_id):
    assert refusal(lambda: dingtalk.comment(request_id, "x", "robot")).upstream_code == "userNotExist"


def test_a_notification_is_queued_and_a_repeated_text_is_dropped(dingtalk, simulator):
    first = dingtalk.notify("zhangsan", "已创建", "# 1 号")
    second = dingtalk.notify("zhangsan", "已创建", "# 1 号")

    notices = {str(notice["task_id"]): notice["refused"] for notice in simulator.notifications()}
    assert notices == {first: "", second: "duplicate"}


@pytest.mark.parametrize("letter", ["a", "文", "😀", '"'])
def test_a_long_notification_is_cut_to_what_dingtalk_takes(dingtalk, simulator, letter):
    dingtalk.notify("lisi", letter * 500, letter * 6000)

    (notice,) = simulator.notifications()
    assert notice["text"].endswith("…")
    assert len(notice["text"].encode()) > 700


def test_a_short_notification_is_not_touched(dingtalk, simulator):
    dingtalk.notify("lisi", "标题", "😀" * 300)

    assert simulator.notifications()[0]["text"] == "😀" * 300


def test_without_an_agent_id_a_notification_says_what_to_set(simulator):
    error = refusal(lambda: connect(simulator.base_url, agent_id="").notify("lisi", "t", "x"))

    assert "DINGTALK_AGENT_ID" in error.message


def test_an_employee_is_read(dingtalk):
    person = dingtalk.get_user("zhangsan")

    assert (person.name, person.active, person.dept_ids) == ("张三", True, (2,))


def test_an_unknown_employee_is_refused(dingtalk):
    assert refusal(lambda: dingtalk.get_user("nobody")).upstream_code == "60121"


def test_an_approval_is_started_and_ended(dingtalk, simulator):
    values = [
        {"name": "服务器名称", "value": "db"},
        {"id": "DDSelectField-size", "value": "large"},
        {"name": "标签", "value": '[[{"name":"键","value":"a"},{"name":"值","value":"1"}]]'},
    ]

    instance_id = dingtalk.create_instance("zhangsan", "PROC-DEMO-SERVER", 2, values)
    simulator.adjust(clock_ahead=16)
    dingtalk.terminate_instance(instance_id, userid="zhangsan", remark="不要了")

    assert dingtalk.get_instance(instance_id).status == "TERMINATED"


def test_an_approval_that_was_just_started_cannot_be_ended_yet(dingtalk, request_id):
    error = refusal(lambda: dingtalk.terminate_instance(request_id))

    assert (error.upstream_code, error.certain) == ("aflowProcessInstStatusException", True)


def test_an_ended_token_is_replaced_once_for_both_families(dingtalk, simulator, request_id):
    dingtalk.get_instance(request_id)

    simulator.expire_tokens()
    assert dingtalk.get_instance(request_id).status == "RUNNING"
    simulator.expire_tokens()
    assert dingtalk.get_user("lisi").name == "李四"
    simulator.expire_tokens()
    dingtalk.comment(request_id, "still here", "manager1")


def test_http_401_counts_as_an_ended_token(dingtalk, simulator, request_id):
    simulator.fault("api.error", code="Unauthorized", status=401, path="processInstances")

    assert dingtalk.get_instance(request_id).status == "RUNNING"


def test_a_token_that_is_refused_again_and_again_does_not_loop(dingtalk, simulator, request_id):
    simulator.fault("api.error", code="InvalidAuthentication", status=400, path="processInstances", count=None)

    assert refusal(lambda: dingtalk.get_instance(request_id)).upstream_code == "InvalidAuthentication"


def test_a_wrong_secret_is_told_by_its_code(simulator):
    error = refusal(connect(simulator.base_url, app_secret="wrong").check)

    assert error.upstream_code == "invalidClientIdOrSecret"
    assert "wrong" not in error.message


def test_right_secrets_pass_the_check(dingtalk):
    assert dingtalk.check() is None


@pytest.mark.parametrize("kind", ["api.qps", "api.down"])
def test_reading_goes_on_when_dingtalk_was_busy_or_away_for_a_moment(dingtalk, simulator, request_id, kind):
    simulator.fault(kind, path="processInstances", count=2)
    simulator.fault(kind, path="user/get", count=2)

    assert dingtalk.get_instance(request_id).status == "RUNNING"
    assert dingtalk.get_user("zhangsan").name == "张三"


def test_reading_gives_up_when_dingtalk_stays_busy(dingtalk, simulator, request_id):
    simulator.fault("api.qps", path="processInstances", count=None)
    simulator.fault("api.error", path="user/get", code="-1", count=None)

    code = refusal(lambda: dingtalk.get_instance(request_id)).upstream_code
    assert code == "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
    assert refusal(lambda: dingtalk.get_user("lisi")).upstream_code == "-1"


def test_a_comment_that_dingtalk_was_too_busy_for_is_surely_not_written(dingtalk, simulator, request_id):
    simulator.fault("api.qps", path="comments")

    assert refusal(lambda: dingtalk.comment(request_id, "x", "manager1")).certain
    assert simulator.comments(request_id) == []


def test_a_comment_whose_answer_is_lost_is_uncertain_and_not_sent_again(dingtalk, simulator, request_id):
    simulator.fault("api.lost", path="comments")

    assert not refusal(lambda: dingtalk.comment(request_id, "x", "manager1")).certain
    assert simulator.comments(request_id) == ["x"]


def test_a_busy_answer_to_a_notification_leaves_it_uncertain(dingtalk, simulator):
    simulator.fault("api.error", path="asyncsend", code="-1")

    assert not refusal(lambda: dingtalk.notify("lisi", "t", "x")).certain


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_web_page_instead_of_an_answer_is_an_error(dingtalk, simulator, request_id, status):
    simulator.fault("api.html", path="processInstances", status=status, count=3)

    assert "processInstances" in refusal(lambda: dingtalk.get_instance(request_id)).message


def test_slow_answers_are_given_up(simulator, request_id):
    impatient = connect(simulator.base_url, timeout=(1, 0.1))
    impatient.check()
    simulator.fault("api.slow", seconds=0.5, path="processInstances")

    assert "no answer within 0.1 s" in refusal(lambda: impatient.get_instance(request_id)).message


def test_dingtalk_that_is_not_there_is_an_error_that_is_certain():
    with running(Flask("gone")) as url:
        pass

    error = refusal(lambda: connect(url).comment("i", "x", "manager1"))

    assert (error.certain, error.upstream_code) == (True, None)


@pytest.fixture
def odd():
    """A DingTalk that answers what it is told to."""
    app = Flask("odd")
    app.answer = {}

    @app.route("/<path:path>", methods=["GET", "POST"])
    def anything(path):
        return {"accessToken": "secret-token", "expireIn": 7200} | app.answer

    with running(app) as app.url:
        yield app


@pytest.mark.parametrize("answer", [{"accessToken": ""}, {"accessToken": None}, {"expireIn": "soon"}])
def test_an_answer_without_a_token_is_an_error(odd, answer):
    odd.answer = answer

    assert "no access token" in refusal(connect(odd.url).check).message


def test_answers_that_lack_what_was_asked_for_are_errors(odd):
    client = connect(odd.url)
    odd.answer = {"errcode": 0}

    messages = [
        refusal(call).message
        for call in (
            lambda: client.get_instance("i"),
            lambda: client.get_user("u"),
            lambda: client.create_instance("u", "P", 1, []),
        )
    ]

    assert ["no approval" in messages[0], "no user" in messages[1], "no instance id" in messages[2]] == [True] * 3


@pytest.mark.parametrize("answer", [{"success": "false"}, {"success": True, "result": False}])
def test_a_change_that_dingtalk_did_not_make_is_an_error(odd, answer):
    odd.answer = answer

    assert "did not do it" in refusal(lambda: connect(odd.url).comment("i", "x", "u")).message


def test_a_ban_is_an_error_in_both_families_and_tells_no_token(odd):
    odd.answer = {"status": 1111, "wait": 5, "punish": "deny secret-token"}
    client = connect(odd.url)

    errors = [refusal(lambda: client.comment("i", "x", "u")), refusal(lambda: client.notify("u", "t", "x"))]

    assert [(error.upstream_code, error.certain) for error in errors] == [("1111", True)] * 2
    assert not any("secret-token" in error.message for error in errors)


def test_an_answer_of_the_old_family_without_a_code_is_uncertain(odd):
    odd.answer = {}

    error = refusal(lambda: connect(odd.url).notify("u", "t", "x"))

    assert (error.upstream_code, error.certain) == ("no errcode", False)


@pytest.mark.parametrize(("text", "short"), [("abc", "abc"), ("abcd", "ab…"), ("a😀b", "a…"), ("", "")])
def test_texts_are_cut_between_characters(text, short):
    assert shorten(text, 3) == short
