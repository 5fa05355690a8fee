"""From a form to a resource: the main job, with real Terraform, over real HTTP."""

import pytest

SERVER = "PROC-DEMO-SERVER"


def test_an_approved_form_becomes_a_resource_with_who_when_and_who_approved(house):
    instance_id = house.submit({"服务器名称": "web-01", "规格": "small", "标签": [{"键": "team", "值": "ops"}]})
    house.work()
    (comment,) = house.simulator.comments(instance_id)
    planned = house.api.run_of(instance_id)

    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    (resource,) = house.api.resources_of(instance_id)
    assert planned["status"] == "planned"
    assert planned["plan"]["add"] == 1
    assert "新增 1" in comment
    assert planned["plan"]["digest"][:4] in comment
    assert (run["status"], run["plan"]["digest"]) == ("applied", planned["plan"]["digest"])
    assert run["variables"] == {"name": "web-01", "size": "small", "tags": {"team": "ops"}}
    assert run["outputs"]["server_id"]
    assert resource["applicant"] == {"userid": "zhangsan", "name": "张三"}
    assert [(a["userid"], a["name"], a["result"]) for a in resource["approvers"]] == [("manager1", "王经理", "agree")]
    assert resource["approval"]["business_id"]
    assert resource["run_id"] == run["id"]
    assert resource["state"] == "active"
    assert resource["created_at"].endswith("Z")
    (told,) = house.simulator.notifications()
    assert "web-01" in str(told) or "资源已开通" in str(told)


def test_the_timeline_tells_every_step(house):
    instance_id = house.submit()
    house.work()
    house.agree(instance_id)
    house.work()

    steps = [step["status"] for step in house.api.run_of(instance_id)["timeline"]]

    assert steps == ["pending", "planning", "planned", "apply_queued", "applying", "applied"]


@pytest.mark.parametrize("end", ["refuse", "withdraw", "delete"])
def test_what_is_not_agreed_to_never_runs(house, end):
    instance_id = house.submit()
    house.work()

    getattr(house.simulator, end)(instance_id)
    house.simulator.settle()
    house.work()

    approval = house.api.approval(instance_id)
    assert house.api.run_of(instance_id)["status"] == "discarded"
    assert approval["status"] == ("refused" if end == "refuse" else "terminated")
    assert house.api.resources_of(instance_id) == []


def test_the_same_event_many_times_makes_one_run_and_one_apply(house):
    house.simulator.fault("push.duplicate", count=None)
    instance_id = house.submit()
    house.work()
    house.agree(instance_id)
    house.work()
    house.api.call("approval.replay", id=house.api.approval(instance_id)["id"])
    house.work()

    assert len(house.api.approval(instance_id)["run_ids"]) == 1
    assert house.api.run_of(instance_id)["status"] == "applied"
    assert len(house.api.resources_of(instance_id)) == 1


def test_an_agreement_whose_start_was_lost_still_opens_the_resource(house):
    house.simulator.fault("push.drop", count=2)
    instance_id = house.simulator.submit(SERVER, "zhangsan", {"服务器名称": "late", "规格": "small"})
    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "applied"
    assert [step["note"] for step in run["timeline"] if step["status"] == "apply_queued"] == [
        "a plan that only creates; the offer lets it apply on agreement"
    ]


def test_a_module_that_changed_after_the_plan_is_planned_again_and_waits_for_a_person(house):
    instance_id = house.submit()
    house.work()
    main = house.modules / "demo-server" / "main.tf"
    main.write_text(main.read_text() + "\n# changed\n")

    house.agree(instance_id)
    house.work()
    waiting = house.api.run_of(instance_id)
    house.api.call("run.confirm", id=waiting["id"], reason="looked at it")
    house.work()

    assert waiting["status"] == "planned"
    assert waiting["actions"] == ["cancel", "discard", "confirm"]
    assert house.api.resources_of(instance_id) != []
    assert house.api.run_of(instance_id)["status"] == "applied"


def test_an_event_of_a_template_nobody_bound_is_acknowledged_and_ignored(house):
    code = house.simulator.add_template("请假", [{"id": "TextField-why", "label": "原因"}])

    instance_id = house.submit({"原因": "休息"}, process_code=code)
    house.work()

    approval = house.api.approval(instance_id)
    assert (approval["status"], approval["module"], approval["run_ids"]) == ("ignored", None, [])
    assert all(push["ok"] for push in house.simulator.pushes(instance_id))


def test_a_fleet_is_built_through_the_http_backend(house):
    instance_id = house.submit({"名称": "fleet", "数量": 150}, process_code="PROC-DEMO-FLEET")
    house.work()
    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    watched = house.api.call("run.watch", id=run["id"])
    states = house.api.call("workspace.states", name=run["workspace"])["items"]
    assert (run["status"], run["error"], run["plan"]["add"]) == ("applied", None, 150)
    assert len(house.api.resources_of(instance_id)) == 150
    assert {resource["state"] for resource in watched["resources"]} == {"done"}
    assert states[0]["run_id"] == run["id"]
    assert watched["log"]["lines"]
    assert (watched["log"]["done"], watched["poll_after_ms"]) in {(True, None), (False, 50)}
