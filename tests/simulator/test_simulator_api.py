"""The current family of interfaces: headers, error shapes, and DingTalk's rules for programs."""

import pytest

from opsplatform.simulator import seed

INSTANCES = "/v1.0/workflow/processInstances"
VALUES = [{"name": "服务器名称", "value": "db"}, {"name": "规格", "value": "small"}]


@pytest.fixture
def instance_id(simulator, server_form):
    return simulator.submit("PROC-DEMO-SERVER", "zhangsan", server_form)


def order(**more):
    fields = {"originatorUserId": "zhangsan", "processCode": "PROC-DEMO-SERVER", "deptId": 2}
    return {**fields, "formComponentValues": VALUES, **more}


def test_the_same_token_is_given_while_it_is_valid_and_serves_both_families(raw):
    secrets = {"client_id": seed.APP_KEY, "client_secret": seed.APP_SECRET, "grant_type": "client_credentials"}

    _, by_corp = raw.post(f"/v1.0/oauth2/{seed.CORP_ID}/token", secrets)
    _, old = raw.get("/gettoken", appkey=seed.APP_KEY, appsecret=seed.APP_SECRET)

    assert by_corp == {"access_token": raw.token, "expires_in": 7200}
    assert (old["access_token"], old["errcode"]) == (raw.token, 0)


def test_a_token_ends_with_its_life_and_is_renewed_by_asking_again(simulator, raw):
    simulator.adjust(clock_ahead=7100)
    _, renewed = raw.post("/v1.0/oauth2/accessToken", {"appKey": seed.APP_KEY, "appSecret": seed.APP_SECRET})
    simulator.adjust(clock_ahead=7300)
    assert raw.post("/topapi/v2/user/get", {"userid": "lisi"})[1]["errcode"] == 0

    simulator.adjust(clock_ahead=15_000)
    assert renewed["accessToken"] == raw.token
    assert raw.post("/topapi/v2/user/get", {"userid": "lisi"})[1]["sub_code"] == "40014"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1.0/oauth2/accessToken", {"appKey": seed.APP_KEY, "appSecret": "x"}, 400, "invalidClientIdOrSecret"),
        ("/v1.0/oauth2/dingother/token", {"client_id": seed.APP_KEY}, 500, "unknownError"),
    ],
)
def test_wrong_secrets_are_refused(raw, path, body, status, code):
    assert (raw.post(path, body)[0], raw.post(path, body)[1]["code"]) == (status, code)


def test_only_the_header_carries_a_token(raw, instance_id):
    status, answer = raw.get(INSTANCES, token="", processInstanceId=instance_id, access_token=raw.token)
    assert (status, answer["code"]) == (400, "AuthenticationFailed.MissingParameter")

    status, answer = raw.get(INSTANCES, token="wrong", processInstanceId=instance_id)
    assert (status, answer["code"], set(answer)) == (400, "InvalidAuthentication", {"code", "requestid", "message"})


def test_a_running_approval_has_no_result_no_end_and_no_template(raw, instance_id):
    status, answer = raw.get(INSTANCES, processInstanceId=instance_id)

    result = answer["result"]
    assert (status, answer["success"]) == (200, "true")
    assert (result["status"], result["result"]) == ("RUNNING", "")
    assert {"processCode", "finishTime", "approverUserIds"}.isdisjoint(result)
    assert result["createTime"].endswith("Z")
    assert len(result["createTime"]) == len("2022-08-31T11:52Z")
    assert isinstance(result["tasks"][0]["taskId"], int)


def test_a_fetched_approval_can_be_made_to_contradict_its_event(simulator, raw, instance_id):
    simulator.agree(instance_id)
    simulator.fault("instance.rewrite", fields={"status": "RUNNING", "result": ""}, path=instance_id)

    answers = [raw.get(INSTANCES, processInstanceId=instance_id)[1]["result"]["status"] for _ in range(2)]

    assert answers == ["RUNNING", "COMPLETED"]


def test_an_approval_started_by_a_program_names_its_approvers(raw):
    _, answer = raw.post(INSTANCES, order(approvers=[{"actionType": "OR", "userIds": ["manager1", "lisi"]}]))

    _, got = raw.get(INSTANCES, processInstanceId=answer["instanceId"])
    assert got["result"]["approverUserIds"] == ["manager1", "lisi"]


def test_the_root_department_is_minus_one(raw):
    _, answer = raw.post(INSTANCES, order(originatorUserId="manager1", deptId=-1))

    _, got = raw.get(INSTANCES, processInstanceId=answer["instanceId"])
    assert got["result"]["originatorDeptId"] == "-1"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"deptId": None}, "invalidParameter"),
        ({"deptId": 99}, "processInstanceInvalidParameter"),
        ({"processCode": ""}, "invalidParameter"),
        ({"processCode": "PROC-NONE"}, "processCodeError"),
        ({"originatorUserId": "nobody"}, "invalidParameter"),
        ({"formComponentValues": "x"}, "invalidParameter"),
        ({"formComponentValues": [{"name": "服务器名称", "value": 1}]}, "formConverterError"),
        ({"formComponentValues": VALUES * 76}, "invalidParameter"),
        ({"approvers": [{"actionType": "SOME", "userIds": ["lisi"]}]}, "invalidParameter"),
        ({"approvers": [{"userIds": []}]}, "invalidParameter"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(raw, more, code):
    status, answer = raw.post(INSTANCES, order(**more))

    assert (status, answer["code"]) == (400, code)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"text": ""}, "invalidInstanceCommentText"),
        ({"text": 1}, "invalidInstanceCommentText"),
        ({"text": "x" * 1025}, "invalidInstanceCommentText"),
        ({"text": "😀" * 513}, "invalidInstanceCommentText"),
        ({"commentUserId": ""}, "invalidInstanceCommentUserId"),
        ({"commentUserId": "robot"}, "userNotExist"),
        ({"processInstanceId": "none"}, "aflowProcessInstNotExist"),
    ],
)
def test_a_comment_that_does_not_fit_is_refused(raw, instance_id, more, code):
    fields = {"processInstanceId": instance_id, "text": "x", "commentUserId": "manager1", **more}

    status, answer = raw.post(f"{INSTANCES}/comments", fields)

    assert (status, answer["code"]) == (400, code)


def test_a_comment_stands_in_the_history(raw, instance_id):
    fields = {"processInstanceId": instance_id, "text": "x" * 1024, "commentUserId": "manager1"}

    assert raw.post(f"{INSTANCES}/comments", fields) == (200, {"result": True, "success": True})

    _, answer = raw.get(INSTANCES, processInstanceId=instance_id)
    last = answer["result"]["operationRecords"][-1]
    assert (last["type"], last["userId"], len(last["remark"])) == ("ADD_REMARK", "manager1", 1024)


def end(instance_id, **more):
    return {"processInstanceId": instance_id, "isSystem": True, "remark": "", **more}


def test_a_program_ends_an_approval_only_fifteen_seconds_after_it_began(simulator, raw, instance_id):
    assert raw.post(f"{INSTANCES}/terminate", end(instance_id))[1]["code"] == "aflowProcessInstStatusException"

    simulator.adjust(clock_ahead=16)
    assert raw.post(f"{INSTANCES}/terminate", end(instance_id)) == (200, {"result": True, "success": True})
    assert raw.post(f"{INSTANCES}/terminate", end(instance_id))[1]["code"] == "aflowProcessInstStatusException"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"isSystem": False, "operatingUserId": "lisi"}, "invalidInstanceTerminateOperatingUserId"),
        ({"isSystem": False, "operatingUserId": "nobody"}, "userNotExist"),
        ({"isSystem": False}, "invalidParameter"),
        ({"remark": "x" * 1025}, "invalidParameter"),
    ],
)
def test_only_the_originator_or_the_system_ends_an_approval(simulator, raw, instance_id, more, code):
    simulator.adjust(clock_ahead=16)

    assert raw.post(f"{INSTANCES}/terminate", end(instance_id, **more))[1]["code"] == code


def test_a_template_may_forbid_withdrawal(simulator, raw):
    code = simulator.add_template("表", [], can_withdraw=False)
    instance_id = simulator.submit(code, "lisi", {})
    simulator.adjust(clock_ahead=16)

    assert raw.post(f"{INSTANCES}/terminate", end(instance_id))[1]["code"] == "internalError"


def turn(simulator, instance_id, **more):
    task_id = simulator.instance(instance_id)["tasks"][0]["task_id"]
    fields = {"processInstanceId": instance_id, "result": "agree", "actionerUserId": "manager1", "taskId": task_id}
    return {**fields, **more}


def test_a_program_takes_a_persons_turn(simulator, raw, instance_id):
    assert raw.post(f"{INSTANCES}/execute", turn(simulator, instance_id)) == (200, {"result": True, "success": True})
    assert simulator.instance(instance_id)["result"] == "agree"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"result": "perhaps"}, "invalidParameter"),
        ({"remark": "x" * 1025}, "invalidParameter"),
        ({"taskId": 1}, "invalidInstanceExecuteTaskId"),
        ({"taskId": "x"}, "invalidInstanceExecuteTaskId"),
        ({"actionerUserId": "lisi"}, "aflowProcessInstCanNotBeExecuted"),
        ({"actionerUserId": "nobody"}, "userNotExist"),
    ],
)
def test_a_turn_that_is_not_that_persons_is_refused(simulator, raw, instance_id, more, code):
    assert raw.post(f"{INSTANCES}/execute", turn(simulator, instance_id, **more))[1]["code"] == code


@pytest.mark.parametrize("body", [None, [], "x"])
def test_a_body_that_is_no_object_is_refused(raw, body):
    assert raw.post(f"{INSTANCES}/comments", body)[1]["code"] == "invalidParameter"


def test_an_approval_is_asked_for_by_an_id_that_exists(raw):
    assert raw.get(INSTANCES)[1]["code"] == "processInstanceIdError"
    assert raw.get(INSTANCES, processInstanceId="x")[1]["code"] == "processInstanceNotExist"


def test_an_unknown_interface_is_told(raw):
    status, answer = raw.post("/v1.0/no/such/thing", {})

    assert (status, answer["code"]) == (404, "InvalidAction.NotFound")
