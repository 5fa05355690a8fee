"""The platform on the local cloud: what was approved is made once, and what exists is on the record."""

import pytest

from tests.cloud.offers import MANY, SERVER

pytestmark = pytest.mark.flow


def test_an_approval_makes_exactly_one_server(cloud_house, cloud):
    instance_id = agreed(cloud_house, SERVER, {"名称": "web", "规格": "large"})

    run = cloud_house.api.run_of(instance_id)
    (entry,) = cloud.ledger()
    (resource,) = cloud_house.api.resources_of(instance_id)
    assert run["status"] == "applied"
    assert (entry["op"], entry["attributes"]["size"]) == ("create", "large")
    assert entry["label"].startswith(f"{run['id']}-")
    assert (resource["provider_id"], resource["state"], resource["name"]) == (entry["id"], "active", "web")
    assert run["outputs"]["server_id"] == entry["id"]


def test_nothing_is_made_before_the_approval_and_nothing_after_a_refusal(cloud_house, cloud):
    instance_id = cloud_house.submit({"名称": "web"}, process_code=SERVER)
    cloud_house.work()
    planned = cloud_house.api.run_of(instance_id)

    cloud_house.simulator.refuse(instance_id)
    cloud_house.simulator.settle()
    cloud_house.work()

    assert planned["status"] == "planned"
    assert cloud_house.api.run_of(instance_id)["status"] == "discarded"
    assert cloud.ledger() == []


def test_a_password_reaches_the_cloud_and_nobody_else(cloud_house, cloud):
    from tests.cloud.world import digest

    secret = "hunter2-hunter2"
    instance_id = agreed(cloud_house, SERVER, {"名称": "db", "密码": secret})

    run = cloud_house.api.run_of(instance_id)
    (resource,) = cloud_house.api.resources_of(instance_id)
    seen = [
        run,
        resource,
        cloud_house.api.call("run.plan", id=run["id"]),
        cloud_house.api.call("run.log", id=run["id"]),
        cloud_house.simulator.comments(instance_id),
        cloud_house.simulator.notifications(),
    ]
    assert run["status"] == "applied"
    assert cloud.objects()[0]["password_digest"] == digest(secret)
    assert secret not in str(seen)
    assert resource["attributes"]["password"] == "***"


def test_a_quota_in_the_middle_ends_errored_with_what_exists_and_a_retry_makes_only_what_is_missing(cloud_house, cloud):
    cloud.settings(quota=2)
    instance_id = agreed(cloud_house, MANY, {"名称": "web", "数量": 3})
    failed = cloud_house.api.run_of(instance_id)
    first = on_record(cloud_house, instance_id)

    cloud.settings(quota=None)
    retried = cloud_house.api.call("run.retry", id=failed["id"])
    cloud_house.work()
    waiting = cloud_house.api.call("run.get", id=retried["id"])
    cloud_house.api.call("run.confirm", id=retried["id"])
    cloud_house.work()

    assert failed["status"] == "errored"
    assert "QuotaExceeded" in failed["error"]
    assert len(first) == 2
    assert (waiting["status"], waiting["plan"]["add"], waiting["plan"]["destroy"]) == ("planned", 1, 0)
    assert cloud_house.api.call("run.get", id=retried["id"])["status"] == "applied"
    assert len(cloud.ledger("create")) == 3
    assert first < on_record(cloud_house, instance_id) == {made["id"] for made in cloud.objects()}


def test_a_cloud_in_trouble_ends_the_run_in_its_words_and_makes_nothing(cloud_house, cloud):
    cloud.order("error", op="create", status=503)

    instance_id = agreed(cloud_house, SERVER, {"名称": "web"})

    run = cloud_house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert "ServiceUnavailable" in run["error"]
    assert cloud.ledger() == []
    assert cloud_house.api.resources_of(instance_id) == []


def test_a_bad_token_is_named_and_shown_to_nobody(cloud_house, cloud):
    cloud.settings(tokens=["another-token"])

    instance_id = agreed(cloud_house, SERVER, {"名称": "web"})

    run = cloud_house.api.run_of(instance_id)
    assert "InvalidToken" in run["error"]
    assert "cloud-token" not in str([run, cloud_house.api.call("run.log", id=run["id"])])


def test_a_secret_that_the_cloud_repeats_in_its_error_is_shown_to_nobody(cloud_house, cloud):
    secret = "hunter2-hunter2"
    cloud.order("error", op="create", status=400, code=f"InvalidPassword {secret}")

    instance_id = agreed(cloud_house, SERVER, {"名称": "web", "密码": secret})

    run = cloud_house.api.run_of(instance_id)
    seen = [run, cloud_house.simulator.comments(instance_id), cloud_house.simulator.notifications()]
    assert "InvalidPassword ***" in run["error"]
    assert secret not in str(seen)


def test_events_that_all_come_twice_make_one_server(cloud_house, cloud):
    cloud_house.simulator.fault("push.duplicate", count=None)

    instance_id = agreed(cloud_house, SERVER, {"名称": "web"})
    cloud_house.sweep()

    assert cloud_house.api.run_of(instance_id)["status"] == "applied"
    assert len(cloud.ledger()) == 1


def agreed(house, process_code, values):
    """An approval that was planned, agreed to, and worked on to its end."""
    instance_id = house.submit(values, process_code=process_code)
    house.work()
    house.agree(instance_id)
    house.work()
    return instance_id


def on_record(house, instance_id):
    """Provider ids of what an approval opened, as the inventory has it."""
    return {each["provider_id"] for each in house.api.resources_of(instance_id) if each["state"] == "active"}
