"""The old family of interfaces: HTTP 200 always, the token in the query, and registration with a handshake."""

import json

import pytest
import requests

from opsplatform.simulator import seed

MESSAGES = "/topapi/message/corpconversation"


@pytest.fixture
def instance_id(simulator, server_form):
    return simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form)


def error(answer):
    status, fields = answer
    assert status == 200
    return fields["errcode"]


@pytest.mark.parametrize(
    ("given", "code"), [({}, 40035), ({"appkey": "x"}, 40035), ({"appkey": seed.APP_KEY, "appsecret": "x"}, 40096)]
)
def test_wrong_secrets_are_refused(raw, given, code):
    assert error(raw.get("/gettoken", **given)) == code


@pytest.mark.parametrize(
    ("path", "token", "expected"),
    [
        ("/topapi/v2/user/get", "wrong", (88, "40014")),
        ("/topapi/v2/user/get", "", (88, "40000")),
        ("/call_back/register_call_back", "wrong", (40014, None)),
        ("/topapi/no/such/method", "wrong", (88, "40014")),
    ],
)
def test_a_token_that_does_not_count_is_refused_in_two_shapes(raw, path, token, expected):
    _, answer = raw.post(path, {"userid": "lisi"}, token=token)

    assert (answer["errcode"], answer.get("sub_code")) == expected


def test_the_header_of_the_other_family_does_not_count(raw):
    headers = {"x-acs-dingtalk-access-token": raw.token}

    answer = requests.post(f"{raw.url}/topapi/v2/user/get", json={"userid": "lisi"}, headers=headers, timeout=5).json()

    assert answer["sub_code"] == "40000"


def test_unknown_methods_and_addresses_are_told_apart(raw):
    assert error(raw.post("/topapi/no/such", {})) == 22
    assert error(raw.post("/no/such", {})) == 404
    assert error(raw.get("/topapi/v2/user/get")) == 22


def test_an_approval_is_told_in_the_old_spelling(simulator, raw, instance_id):
    simulator.agree(instance_id)

    _, answer = raw.post("/topapi/processinstance/get", {"process_instance_id": instance_id})

    approval = answer["process_instance"]
    assert (answer["errcode"], approval["status"], approval["result"]) == (0, "COMPLETED", "agree")
    assert len(approval["create_time"]) == len(approval["finish_time"]) == len("2022-05-30 23:46:37")
    assert approval["tasks"][0]["taskid"].isdecimal()
    assert approval["form_component_values"][1]["component_type"] == "DDSelectField"
    assert json.loads(approval["form_component_values"][1]["ext_value"])["label"] == "small"
    assert "process_code" not in approval


def test_an_approval_lives_its_life_in_the_old_family(simulator, raw):
    values = [{"name": "名称", "value": "f"}, {"name": "数量", "value": "3"}]
    order = {"process_code": "PROC-DEMO-FLEET", "originator_user_id": "lisi", "dept_id": "3", "approvers": "manager1"}
    _, made = raw.post("/topapi/processinstance/create", {**order, "form_component_values": values})
    instance_id = made["process_instance_id"]
    comment = {"process_instance_id": instance_id, "text": "好", "comment_userid": "lisi"}

    assert error(raw.post("/topapi/process/instance/comment/add", {"request": comment})) == 0
    simulator.adjust(clock_ahead=16)
    end = {"process_instance_id": instance_id, "is_system": False, "operating_userid": "lisi"}
    assert error(raw.post("/topapi/process/instance/terminate", {"request": end})) == 0

    assert simulator.comments(instance_id) == ["好"]
    assert simulator.instance(instance_id)["status"] == "TERMINATED"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/topapi/processinstance/get", {}, 400002),
        ("/topapi/processinstance/create", {"dept_id": "x"}, 400002),
        ("/topapi/process/instance/terminate", {}, 400002),
        ("/topapi/v2/user/get", {}, 400002),
        ("/topapi/v2/user/get", {"userid": "nobody"}, 60121),
        ("/topapi/user/getbyunionid", {"unionid": "u"}, 60121),
        ("/topapi/user/getbyunionid", {}, 60121),
    ],
)
def test_what_does_not_fit_is_refused(raw, path, body, code):
    assert error(raw.post(path, body)) == code


def test_an_employee_is_found_by_user_id_and_by_union_id(raw):
    _, by_id = raw.post("/topapi/v2/user/get", {"userid": "lisi"})
    _, by_union = raw.post("/topapi/user/getbyunionid", {"unionid": by_id["result"]["unionid"]})

    assert (by_id["result"]["name"], by_id["result"]["dept_id_list"]) == ("李四", [3, 2])
    assert by_union["result"] == {"contact_type": 0, "userid": "lisi"}


def message(text="# 已创建", **more):
    content = {"msgtype": "markdown", "markdown": {"title": "标题", "text": text}}
    return {"agent_id": seed.AGENT_ID, "userid_list": "zhangsan,lisi,nobody", "msg": content, **more}


def test_a_notification_tells_afterwards_whom_it_reached(simulator, raw):
    _, first = raw.post(f"{MESSAGES}/asyncsend_v2", message())
    _, second = raw.post(f"{MESSAGES}/asyncsend_v2", message())

    results = [
        raw.post(f"{MESSAGES}/getsendresult", {"agent_id": seed.AGENT_ID, "task_id": sent["task_id"]})[1]["send_result"]
        for sent in (first, second)
    ]
    assert results[0]["unread_user_id_list"] == ["zhangsan", "lisi"]
    assert results[0]["invalid_user_id_list"] == ["nobody"]
    assert [entry["code"] for entry in results[1]["forbidden_list"]] == ["143106", "143106"]


def test_the_same_text_arrives_again_tomorrow(simulator, raw):
    raw.post(f"{MESSAGES}/asyncsend_v2", message(userid_list="lisi"))
    simulator.adjust(clock_ahead=86_400)
    token = raw.post("/v1.0/oauth2/accessToken", {"appKey": seed.APP_KEY, "appSecret": seed.APP_SECRET})[1]

    raw.post(f"{MESSAGES}/asyncsend_v2", message(userid_list="lisi"), token=token["accessToken"])

    assert [notice["refused"] for notice in simulator.notifications()] == ["", ""]


def test_a_notification_can_be_followed_and_taken_back(simulator, raw):
    _, sent = raw.post(f"{MESSAGES}/asyncsend_v2", message())
    task = {"agent_id": seed.AGENT_ID, "task_id": sent["task_id"]}

    assert raw.post(f"{MESSAGES}/getsendprogress", task)[1]["progress"]["status"] == 2
    assert error(raw.post(f"{MESSAGES}/recall", task)) == 0
    assert simulator.notifications() == []
    assert error(raw.post(f"{MESSAGES}/recall", task)) == 400002


@pytest.mark.parametrize(
    "more",
    [
        {"agent_id": 1},
        {"userid_list": ""},
        {"userid_list": ",".join("abc" for _ in range(101))},
        {"msg": None},
        {"msg": {"msgtype": "voice"}},
        {"msg": {"msgtype": "markdown", "markdown": {"title": "t", "text": ""}}},
        {"msg": {"msgtype": "markdown", "markdown": {"title": "t", "text": "x" * 2048}}},
    ],
)
def test_a_notification_that_does_not_fit_is_refused(simulator, raw, more):
    assert error(raw.post(f"{MESSAGES}/asyncsend_v2", message(**more))) > 0
    assert simulator.notifications() == []


def wanted(subscriber, **more):
    fields = {"call_back_tag": ["bpms_instance_change"], "token": seed.CALLBACK_TOKEN, "url": subscriber.url}
    return {**fields, "aes_key": seed.CALLBACK_AES_KEY, **more}


def test_a_callback_is_registered_after_a_handshake_with_the_corp_id(raw, subscriber):
    assert raw.post("/call_back/register_call_back", wanted(subscriber)) == (200, {"errcode": 0, "errmsg": "ok"})

    assert [event.event_type for event in subscriber.events] == ["check_url"]
    assert subscriber.owners == [seed.CORP_ID]
    assert raw.get("/call_back/get_call_back")[1] == {"errcode": 0, "errmsg": "ok", **wanted(subscriber)}


def test_a_callback_is_registered_once_and_updated_and_deleted_only_then(raw, subscriber):
    assert error(raw.post("/call_back/update_call_back", wanted(subscriber))) == 71007
    assert error(raw.get("/call_back/get_call_back")) == 71007
    raw.post("/call_back/register_call_back", wanted(subscriber))
    assert error(raw.post("/call_back/register_call_back", wanted(subscriber))) == 71006

    assert error(raw.post("/call_back/update_call_back", wanted(subscriber, call_back_tag=["check_in"]))) == 0
    assert raw.get("/call_back/get_call_back")[1]["call_back_tag"] == ["check_in"]
    assert error(raw.get("/call_back/delete_call_back")) == 0
    assert error(raw.get("/call_back/delete_call_back")) == 71007


def test_a_registered_callback_gets_the_older_envelope_for_its_tags_only(simulator, raw, subscriber, server_form):
    raw.post("/call_back/register_call_back", wanted(subscriber))
    subscriber.owners.clear()
    subscriber.events.clear()

    simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form)
    simulator.settle()

    by_corp = [
        event for event, owner in zip(subscriber.events, subscriber.owners, strict=True) if owner == seed.CORP_ID
    ]
    assert [(event.event_type, event.event_id) for event in by_corp] == [("bpms_instance_change", None)]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"call_back_tag": []}, 71010),
        ({"call_back_tag": ["no_such_tag"]}, 71008),
        ({"call_back_tag": [["x"]]}, 71010),
        ({"token": "short"}, 71010),
        ({"token": "x" * 64}, 71010),
        ({"aes_key": "x"}, 71010),
        ({"aes_key": None}, 71010),
        ({"url": "ftp://x"}, 71011),
        ({"token": "anotherToken16xx"}, 71012),
    ],
)
def test_a_callback_that_does_not_fit_is_refused(raw, subscriber, more, code):
    assert error(raw.post("/call_back/register_call_back", wanted(subscriber, **more))) == code
    assert error(raw.get("/call_back/get_call_back")) == 71007


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (({}, 403), 71012, "http statusCode is:403"),
        (({}, 302, {"Location": "/x"}), 71012, "不允许3xx跳转"),
        (({}, 200), 71009, "非success"),
        (("<html></html>", 200), 71009, "非success"),
    ],
)
def test_a_handshake_that_fails_says_why(raw, subscriber, answer, code, reason):
    subscriber.broken = [answer]

    _, told = raw.post("/call_back/register_call_back", wanted(subscriber))

    assert told["errcode"] == code
    assert reason in told["errmsg"]


def test_a_handshake_that_takes_too_long_fails(simulator, raw, subscriber):
    simulator.adjust(push_timeout=0.1)

    slow = wanted(subscriber, url=subscriber.url.replace("/callback", "/slow"))

    assert error(raw.post("/call_back/register_call_back", slow)) == 71012
