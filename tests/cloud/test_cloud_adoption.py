"""What an earlier run left outside the state is taken in by the plan of its retry, and made no second time."""

import pytest

from opsplatform.runs.workdir import Workdir
from tests.cloud.offers import MANY

pytestmark = pytest.mark.flow


@pytest.fixture
def failed(cloud_house, cloud, monkeypatch):
    """A run that made two of three servers before the quota was used up, and whose state was lost."""
    cloud.settings(quota=2)
    instance_id = cloud_house.submit({"名称": "web", "数量": 3}, process_code=MANY)
    cloud_house.work()
    with monkeypatch.context() as lost:
        lost.setattr(Workdir, "read_state", lambda _self: None)
        cloud_house.agree(instance_id)
        cloud_house.work()
    cloud.settings(quota=None)
    return cloud_house.api.run_of(instance_id)


def test_a_retry_takes_in_what_is_orphaned_and_makes_only_what_is_missing(cloud_house, cloud, failed):
    api = cloud_house.api
    lost = {row["provider_id"]: row["address"] for row in resources(api, "orphaned")}

    planned = retried(cloud_house, failed)
    api.call("run.confirm", id=planned["id"])
    cloud_house.work()

    done = api.call("run.get", id=planned["id"])
    made = {each["id"] for each in cloud.objects()}
    assert (failed["status"], len(lost)) == ("errored", 2)
    assert (planned["status"], planned["plan"]["imports"], planned["plan"]["add"]) == ("planned", 2, 1)
    assert all(
        f"{address} (imports {provider_id})" in planned["plan"]["summary"] for provider_id, address in lost.items()
    )
    assert (done["status"], done["error"]) == ("applied", None)
    assert len(cloud.ledger("create")) == 3
    assert {row["provider_id"] for row in resources(api, "active")} == made
    assert resources(api, "orphaned") == []


def test_an_orphan_that_is_gone_ends_the_retry_in_words_that_name_it(cloud_house, cloud, failed):
    gone = resources(cloud_house.api, "orphaned")[0]
    cloud.delete_behind(gone["provider_id"])

    run = retried(cloud_house, failed)

    assert run["status"] == "errored"
    assert f"{gone['address']} (id {gone['provider_id']})" in run["error"]
    assert len(cloud.ledger("create")) == 2


def test_what_is_orphaned_after_the_plan_was_approved_makes_a_new_plan(cloud_house, cloud, failed):
    planned = retried(cloud_house, failed)
    forgotten = resources(cloud_house.api, "orphaned")[0]
    cloud_house.api.call("run.confirm", id=planned["id"])
    cloud_house.api.call("resource.forget", id=forgotten["id"], reason="looked after by hand")
    cloud_house.work()

    run = cloud_house.api.call("run.get", id=planned["id"])
    assert (run["status"], run["plan"]["imports"]) == ("planned", 1)
    assert "imports changed since the approval" in str(run["timeline"])
    assert len(cloud.ledger("create")) == 2


def retried(house, run):
    """The retry of a run, once it was planned."""
    new = house.api.call("run.retry", id=run["id"])
    house.work()
    return house.api.call("run.get", id=new["id"])


def resources(api, state):
    """What the inventory holds in this state."""
    return api.call("resource.list", state=state)["items"]
