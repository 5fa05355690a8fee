"""Bad forms, failing Terraform, a DingTalk that is down: a clear error, nothing lost, nothing half-done."""

from pathlib import Path

import pytest

NAME = [{"id": "TextField-name", "label": "名称", "required": True}]
HOSTILE = ["$(rm -rf /)", "${var.x}", "%{ if true }x%{ endif }", "a\nb\tc", "😀 服务器", 'quote"and\\slash', "x" * 200]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"服务器名称": "web", "规格": "huge"}, "规格"),
        ({"规格": "small"}, "服务器名称"),
        ({"服务器名称": "null", "规格": "small"}, "服务器名称"),
    ],
)
def test_a_form_that_does_not_fit_ends_invalid_and_names_the_field(house, values, field):
    instance_id = house.submit(values, unchecked=True)
    house.work()
    house.agree(instance_id)
    house.work()

    approval = house.api.approval(instance_id)
    assert (approval["status"], approval["run_ids"]) == ("invalid", [])
    assert field in approval["error"]
    assert field in str(house.simulator.notifications()[0])
    assert field in house.simulator.comments(instance_id)[0]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_only_ever_data(house, value):
    instance_id = house.submit({"名称": value, "密码": value}, process_code=secret_template(house))
    house.work()
    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    if run is None:  # refused as a value that does not fit is a fine answer too
        assert house.api.approval(instance_id)["status"] == "invalid"
        return
    assert run["status"] == "applied"
    assert run["outputs"]["name"].split() == value.split()


def test_a_failing_plan_ends_errored_with_terraforms_words(house):
    code = house.simulator.add_template("计划失败", NAME, process_code="PROC-FAILS-IN-PLAN")
    instance_id = house.submit({"名称": "bad"}, process_code=code)
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert "The name must be good." in run["error"]
    assert "The name must be good." in str(house.simulator.notifications())
    assert house.api.resources_of(instance_id) == []


def test_a_failing_apply_ends_errored_and_the_inventory_shows_what_exists(house):
    code = house.simulator.add_template("执行失败", NAME, process_code="PROC-FAILS-IN-APPLY")
    instance_id = house.submit({"名称": "half"}, process_code=code)
    house.work()
    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert "The quota is used up." in run["error"]
    assert "terraform_data.made" in [r["address"] for r in house.api.resources_of(instance_id)]


def test_a_run_that_failed_goes_on_through_a_new_plan_that_a_person_confirms(house):
    code = house.simulator.add_template("执行失败", NAME, process_code="PROC-FAILS-IN-APPLY")
    instance_id = house.submit({"名称": "half"}, process_code=code)
    house.work()
    house.agree(instance_id)
    house.work()
    failed = house.api.run_of(instance_id)
    main = house.modules / "fails-in-apply" / "main.tf"
    main.write_text(main.read_text().replace('== "never"', '!= ""'))

    retried = house.api.call("run.retry", id=failed["id"])
    house.work()
    waiting = house.api.call("run.get", id=retried["id"])
    house.api.call("run.confirm", id=retried["id"])
    house.work()

    assert failed["actions"] == ["retry"]
    assert waiting["status"] == "planned"
    assert house.api.call("run.get", id=retried["id"])["status"] == "applied"
    assert {r["address"] for r in house.api.resources_of(instance_id) if r["state"] == "active"} == {
        "terraform_data.made",
        "terraform_data.refused",
        "terraform_data.after",
    }
    assert house.api.error("run.retry", id=failed["id"])["code"] == -32021


def test_secrets_are_masked_everywhere_a_person_looks(house):
    secret = "hunter2-hunter2"
    instance_id = house.submit({"名称": "db", "密码": secret}, process_code=secret_template(house))
    house.work()
    house.agree(instance_id)
    house.work()

    run = house.api.run_of(instance_id)
    seen = [
        run,
        house.api.approval(instance_id),
        house.api.resources_of(instance_id),
        house.api.call("run.plan", id=run["id"]),
        house.api.call("run.log", id=run["id"]),
        house.api.call("run.watch", id=run["id"]),
        house.api.call("resource.export"),
        house.simulator.comments(instance_id),
        house.simulator.notifications(),
    ]
    assert run["status"] == "applied"
    assert secret not in str(seen)
    assert run["outputs"]["login"] == "***"
    database = house.app.extensions["settings"].database
    if database.startswith("sqlite"):
        assert secret.encode() not in Path(database.removeprefix("sqlite:///")).read_bytes()


def test_a_dingtalk_that_is_down_delays_and_loses_nothing(house):
    house.simulator.fault("api.down", count=None, path="processInstances")
    instance_id = house.submit()
    house.work()
    assert house.api.run_of(instance_id) is None

    house.simulator.clear_faults()
    make_due(house)
    house.sweep()

    assert house.api.run_of(instance_id)["status"] == "planned"


@pytest.mark.parametrize("kind", ["api.html", "api.qps", "api.error"])
def test_whatever_dingtalk_answers_the_event_is_kept_and_handled_later(house, kind):
    house.simulator.fault(kind, count=8, path="processInstances")
    instance_id = house.submit()
    house.work()

    house.simulator.clear_faults()
    make_due(house)
    house.sweep()

    assert house.api.run_of(instance_id)["status"] == "planned"


def test_a_comment_that_cannot_be_written_does_not_stop_the_run(house):
    house.simulator.fault("api.error", count=None, path="comments", code="userNotExist", status=400)
    instance_id = house.submit()
    house.work()
    house.agree(instance_id)
    house.work()

    assert house.api.run_of(instance_id)["status"] == "applied"


def test_an_event_that_says_agree_while_the_approval_still_runs_is_not_believed(house):
    house.simulator.fault("instance.rewrite", count=None, fields={"status": "RUNNING", "result": ""})
    instance_id = house.submit()
    house.work()
    house.agree(instance_id)
    house.work()
    assert house.api.run_of(instance_id)["status"] == "planned"

    house.simulator.clear_faults()
    make_due(house)
    house.sweep()

    assert house.api.run_of(instance_id)["status"] == "applied"


def test_another_organisations_event_is_acknowledged_and_ignored(house):
    house.simulator.fault("push.rewrite", count=None, fields={"CorpId": "dingsomebodyelse"})
    instance_id = house.submit()
    house.work()

    assert house.api.approval(instance_id) is None
    assert all(push["ok"] for push in house.simulator.pushes(instance_id))


def test_an_approval_that_modifies_another_one_goes_to_a_person(house):
    first = house.submit()
    instance_id = house.submit(biz_action="MODIFY", main_instance_id=first)
    house.work()

    approval = house.api.approval(instance_id)
    assert (approval["status"], approval["run_ids"]) == ("invalid", [])


def test_a_module_that_does_not_parse_is_listed_with_its_error_and_cannot_be_bound(house):
    broken = house.api.call("module.get", name="broken")

    assert broken["error"]
    assert house.api.error("module.bind", name="broken", process_code="PROC-X", fields={})["code"] == -32021


def test_cancel_ends_a_waiting_run_and_frees_the_workspace(house):
    instance_id = house.submit()
    house.work()
    run = house.api.run_of(instance_id)

    canceled = house.api.call("run.cancel", id=run["id"], reason="not needed")
    house.agree(instance_id)
    house.work()

    assert canceled["status"] == "canceled"
    assert house.api.run_of(instance_id)["status"] == "canceled"
    assert house.api.call("workspace.get", name=run["workspace"])["run_id"] is None


def secret_template(house):
    """The form of the module with a password."""
    fields = [*NAME, {"id": "TextField-password", "label": "密码", "required": True}]
    return house.simulator.add_template("密码", fields, process_code="PROC-SECRET")


def make_due(house):
    """Let what waits for a later try be tried now."""
    from sqlalchemy import update

    from opsplatform.approvals.models import InboxEvent
    from opsplatform.core.db import db, transaction

    with house.context(), transaction():
        db.session.execute(update(InboxEvent).values(next_at=0.0, wake_at=0.0))
