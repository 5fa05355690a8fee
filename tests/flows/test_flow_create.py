"""Approvals started from our side: the same main job, begun by a call instead of a form in DingTalk."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from opsplatform.approvals.models import Approval
from opsplatform.core.db import db, reading

SERVER = {"name": "web-01", "size": "small", "tags": {"team": "ops"}}
REGIONAL = """
variable "name" {
  type = string
}
variable "password" {
  type      = string
  sensitive = true
}
resource "terraform_data" "this" {
  input = var.name
}
"""
REGIONAL_OFFER = """
title: {zh: 分区, en: Regional}
process_code: PROC-REGIONAL
form:
  name: {label: 名称, component: TextField-name}
  password: {label: 密码}
environments: [test, prod]
environment_field: {label: 环境, options: {测试: test, 生产: prod}}
apply: {on_agree: create_only}
"""


@pytest.fixture
def zhangsan(house):
    """A house whose caller is 张三 in DingTalk."""
    house.api.call("user.bind_dingtalk", username="admin", dingtalk_userid="zhangsan")
    return house


@pytest.fixture
def regional(zhangsan):
    """A house with a module whose form chooses the environment and asks for a password."""
    folder = zhangsan.modules / "regional"
    folder.mkdir()
    (folder / "main.tf").write_text(REGIONAL, encoding="utf-8")
    (folder / "offer.yaml").write_text(REGIONAL_OFFER, encoding="utf-8")
    components = [
        {"id": "TextField-name", "label": "名称", "required": True},
        {"id": "TextField-password", "label": "密码", "required": True},
        {"id": "DDSelectField-env", "label": "环境", "type": "DDSelectField", "options": ["测试", "生产"]},
    ]
    zhangsan.simulator.add_template("分区", components, process_code="PROC-REGIONAL")
    return zhangsan


def create(house, module="demo-server", variables=SERVER, **more):
    approval = house.api.call("approval.create", module=module, variables=variables, **more)
    house.simulator.settle()
    return approval


def stored(house):
    with house.context(), reading():
        return db.session.scalar(select(func.count()).select_from(Approval))


def test_a_created_approval_is_planned_decided_and_applied_for_its_applicant(zhangsan):
    approval = create(zhangsan)
    instance_id = approval["instance_id"]
    zhangsan.work()
    (comment,) = zhangsan.simulator.comments(instance_id)

    zhangsan.agree(instance_id)
    zhangsan.work()

    run = zhangsan.api.run_of(instance_id)
    (resource,) = zhangsan.api.resources_of(instance_id)
    assert "新增 1" in comment
    assert run["status"] == "applied"
    assert run["variables"] == SERVER
    assert resource["applicant"] == {"userid": "zhangsan", "name": "张三"}
    assert [approver["userid"] for approver in resource["approvers"]] == ["manager1"]
    assert resource["approval"]["id"] == approval["id"]
    assert stored(zhangsan) == 1


def test_the_answer_is_the_approval_as_it_is_stored(zhangsan):
    approval = zhangsan.api.call("approval.create", module="demo-server", variables=SERVER)

    assert zhangsan.api.call("approval.get", id=approval["id"]) == approval
    assert approval["status"] == "pending"
    assert approval["module"] == "demo-server"
    assert approval["process_code"] == "PROC-DEMO-SERVER"
    assert approval["applicant"] == {"userid": "zhangsan", "name": "张三"}
    assert {field["id"]: field["value"] for field in approval["form"]}["TextField-name"] == "web-01"
    assert (approval["run_ids"], approval["error"], approval["finished_at"]) == ([], None, None)


def test_dingtalk_tells_later_what_only_dingtalk_knows(zhangsan):
    approval = create(zhangsan)
    zhangsan.work()

    known = zhangsan.api.call("approval.get", id=approval["id"])

    assert known["title"] == "张三提交的申请服务器"
    assert known["business_id"]
    assert known["url"].startswith("https://aflow.dingtalk.com/")
    assert len(known["run_ids"]) == 1


def test_an_event_that_is_faster_than_our_own_record_leads_to_one_approval(zhangsan, monkeypatch):
    dingtalk = zhangsan.app.extensions["adapters"].dingtalk
    start = dingtalk.create_instance

    def start_and_handle_the_event(*args):
        instance_id = start(*args)
        zhangsan.simulator.settle()
        worker = threading.Thread(target=zhangsan.work)
        worker.start()
        worker.join()
        return instance_id

    monkeypatch.setattr(dingtalk, "create_instance", start_and_handle_the_event)

    approval = create(zhangsan)

    assert approval["title"] == "张三提交的申请服务器"
    assert len(approval["run_ids"]) == 1
    assert stored(zhangsan) == 1


def test_the_environment_goes_into_the_form_and_a_password_does_not_come_out(regional):
    variables = {"name": "x", "password": "s3cret-s3cret"}
    wanted = create(regional, "regional", variables, environment="prod")
    default = create(regional, "regional", variables)
    regional.work()

    runs = [regional.api.run_of(approval["instance_id"]) for approval in (wanted, default)]
    said = json.dumps([wanted, default, runs, regional.api.call("approval.list")])
    assert [run["environment"] for run in runs] == ["prod", "test"]
    assert [run["variables"]["name"] for run in runs] == ["x", "x"]
    assert "s3cret" not in said


def test_what_does_not_fit_is_named_by_input_and_reaches_nobody(zhangsan):
    wrong = zhangsan.api.error(
        "approval.create", module="demo-server", variables={"size": "huge", "colour": "red"}, environment="moon"
    )

    assert wrong["code"] == -32602
    assert set(wrong["data"]["errors"]) == {
        "variables.name",
        "variables.size",
        "variables.colour",
        "environment",
    }
    assert zhangsan.simulator.instances() == []
    assert stored(zhangsan) == 0


def test_somebody_who_is_nobody_in_dingtalk_is_told_what_to_do(house):
    error = house.api.error("approval.create", module="demo-server", variables=SERVER)

    assert error["code"] == -32021
    assert "user.bind_dingtalk" in error["message"]
    assert house.simulator.instances() == []


@pytest.mark.parametrize(("module", "code"), [("missing", -32020), ("broken", -32021), ("aliyun-oss", -32021)])
def test_a_module_that_no_form_orders_is_refused(zhangsan, module, code):
    assert zhangsan.api.error("approval.create", module=module, variables={})["code"] == code


def test_with_dingtalk_down_nothing_is_stored(zhangsan):
    zhangsan.simulator.fault("api.down", count=None)

    error = zhangsan.api.error("approval.create", module="demo-server", variables=SERVER)

    assert (error["code"], error["data"]["system"]) == (-32022, "dingtalk")
    assert stored(zhangsan) == 0


def test_a_dingtalk_user_who_is_gone_is_dingtalks_refusal(zhangsan):
    zhangsan.api.call("user.bind_dingtalk", username="admin", dingtalk_userid="nobody-there")

    error = zhangsan.api.error("approval.create", module="demo-server", variables=SERVER)

    assert error["code"] == -32022
    assert error["data"]["upstream_code"] == "60121"
    assert stored(zhangsan) == 0


def test_a_form_that_dingtalk_does_not_take_is_dingtalks_refusal(zhangsan):
    components = [{"id": "TextField-name", "label": "服务器名称"}]
    zhangsan.simulator.add_template("改过的表单", components, process_code="PROC-DEMO-SERVER")

    error = zhangsan.api.error("approval.create", module="demo-server", variables=SERVER)

    assert (error["code"], error["data"]["upstream_code"]) == (-32022, "illegalComponent")
    assert "retry" not in error["message"]
    assert stored(zhangsan) == 0


def test_a_lost_answer_is_called_unknown_and_the_approval_is_found_by_its_event(zhangsan):
    zhangsan.simulator.fault("api.lost", path="/v1.0/workflow/processInstances")

    error = zhangsan.api.error("approval.create", module="demo-server", variables=SERVER)
    zhangsan.simulator.settle()
    zhangsan.work()

    (instance,) = zhangsan.simulator.instances()
    assert error["code"] == -32022
    assert "look in DingTalk before you retry" in error["message"]
    assert zhangsan.api.run_of(instance["instance_id"])["status"] == "planned"


def test_the_same_request_id_twice_starts_one_approval(zhangsan):
    first = create(zhangsan, request_id="request-0001")
    again = create(zhangsan, request_id="request-0001")
    other = create(zhangsan, request_id="request-0002")

    assert again == first
    assert other["id"] != first["id"]
    assert len(zhangsan.simulator.instances()) == stored(zhangsan) == 2


def test_the_same_request_id_at_the_same_moment_starts_one_approval(zhangsan):
    params = {"module": "demo-server", "variables": SERVER, "request_id": "request-at-once"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: zhangsan.api.answer("approval.create", **params), range(4)))

    assert len(zhangsan.simulator.instances()) == 1
    assert {answer["error"]["code"] for answer in answers if "error" in answer} <= {-32021}
    assert any("result" in answer for answer in answers)


def test_a_request_that_surely_failed_may_be_tried_again_with_the_same_id(zhangsan):
    zhangsan.simulator.fault("api.error", code="processCodeError", status=400, path="/v1.0/workflow/processInstances")
    failed = zhangsan.api.error("approval.create", module="demo-server", variables=SERVER, request_id="request-0003")

    again = create(zhangsan, request_id="request-0003")

    assert failed["code"] == -32022
    assert again["status"] == "pending"


def test_a_member_may_start_approvals(house):
    house.api.call("user.register", username="jack", password="correct horse battery")
    house.api.call("user.bind_dingtalk", username="jack", dingtalk_userid="lisi")
    house.api.log_in("jack", "correct horse battery")

    approval = create(house)

    assert approval["applicant"] == {"userid": "lisi", "name": "李四"}


def test_somebody_of_the_root_department_can_start_one(house):
    house.api.call("user.bind_dingtalk", username="admin", dingtalk_userid="manager1")

    assert create(house)["applicant"]["userid"] == "manager1"


def test_what_was_created_from_here_can_be_replayed_once_its_event_came(zhangsan):
    approval = create(zhangsan)
    zhangsan.work()

    zhangsan.api.call("approval.replay", id=approval["id"])
    zhangsan.work()

    assert len(zhangsan.api.call("approval.get", id=approval["id"])["run_ids"]) == 1
