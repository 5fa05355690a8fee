"""The local cloud by itself: it never forgets, makes nothing twice, and makes exactly the trouble that was ordered."""

import subprocess
import sys
import threading

import pytest

from tests.cloud.client import Cloud
from tests.cloud.ledger import Ledger
from tests.cloud.orders import Order
from tests.cloud.provider.calling import CloudApi, CloudError
from tests.cloud.server import running_cloud
from tests.cloud.world import TOKEN
from tests.flows.conftest import wait_for
from tests.support import ROOT


@pytest.fixture
def api(cloud):
    return CloudApi(cloud.url, TOKEN, "a run", retries=0)


def test_a_server_can_be_made_seen_listed_changed_and_removed(api):
    made = api.call("POST", "/servers", {"name": "web", "size": "small"})
    api.call("PATCH", f"/servers/{made['id']}", {"name": "db"})
    seen = api.call("GET", f"/servers/{made['id']}")
    listed = api.call("GET", "/servers")["items"]
    api.call("DELETE", f"/servers/{made['id']}")

    assert (seen["name"], seen["size"]) == ("db", "small")
    assert listed == [seen]
    with pytest.raises(CloudError) as refused:
        api.call("GET", f"/servers/{made['id']}")
    assert refused.value.status == 404


def test_the_ledger_says_what_who_when_and_for_which_run(api, cloud):
    api.call("POST", "/servers", {"name": "web"})

    (entry,) = cloud.ledger()
    assert (entry["n"], entry["op"], entry["token"], entry["label"]) == (1, "create", TOKEN, "a run")
    assert entry["at"].endswith("+00:00")
    assert len(entry["request_id"]) == 32


def test_what_is_refused_or_only_looked_at_does_not_stand_in_the_ledger(api, cloud):
    cloud.settings(quota=0)
    with pytest.raises(CloudError):
        api.call("POST", "/servers", {"name": "web"})
    with pytest.raises(CloudError):
        api.call("DELETE", "/servers/srv-000001")
    api.call("GET", "/servers")

    assert cloud.ledger() == []


def test_a_cloud_that_is_started_again_knows_all_its_servers_and_its_whole_past(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with running_cloud(path) as first:
        api = CloudApi(first.url, TOKEN, "a run", retries=0)
        gone, kept = (api.call("POST", "/servers", {"name": name}) for name in ("gone", "kept"))
        api.call("DELETE", f"/servers/{gone['id']}")

    with running_cloud(path) as second:
        again = CloudApi(second.url, TOKEN, "a run", retries=0).call("POST", "/servers", {"name": "new"})

        assert [entry["op"] for entry in Cloud(second.url).ledger()] == ["create", "create", "delete", "create"]
        assert {made["id"] for made in Cloud(second.url).objects()} == {kept["id"], again["id"]}
        assert again["id"] not in {gone["id"], kept["id"]}


def test_a_cloud_in_a_process_of_its_own_forgets_nothing_when_it_is_killed(tmp_path):
    command = [sys.executable, "-m", "tests.cloud.server", "--ledger", str(tmp_path / "ledger.jsonl")]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with child.stdout:
        url = child.stdout.readline().strip()
        made = CloudApi(url, TOKEN, "a run", retries=0).call("POST", "/servers", {"name": "web"})
        child.kill()
        child.wait()

    with running_cloud(tmp_path / "ledger.jsonl") as again:
        assert [each["id"] for each in Cloud(again.url).objects()] == [made["id"]]


def test_the_same_request_again_answers_what_the_first_one_made(cloud, tmp_path):
    api = CloudApi(cloud.url, TOKEN, "a run", retries=1)
    cloud.order("lost", op="create", stage="after", times=1)

    made = api.call("POST", "/servers", {"name": "web"})

    assert [entry["id"] for entry in cloud.ledger()] == [made["id"]]


def test_many_callers_at_once_never_get_past_the_quota(api, cloud):
    cloud.settings(quota=5)
    threads = [threading.Thread(target=attempt, args=(api, f"web-{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(cloud.ledger("create")) == len(cloud.objects()) == 5


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize(("kind", "code"), [("error", "ServiceUnavailable"), ("lost", "ConnectionLost")])
def test_trouble_strikes_before_a_call_is_carried_out_or_after(api, cloud, kind, code, stage):
    cloud.order(kind, op="create", stage=stage, times=1)

    with pytest.raises(CloudError) as trouble:
        api.call("POST", "/servers", {"name": "web"})

    assert trouble.value.code == code
    assert len(cloud.ledger()) == (stage == "after")


def test_a_call_hangs_until_it_is_released(api, cloud):
    cloud.order("hang", op="create", stage="after", times=1)
    caller = threading.Thread(target=attempt, args=(api, "web"))
    caller.start()
    wait_for(cloud.objects, "the server")
    hung = caller.is_alive()

    cloud.release()

    caller.join(10)
    assert hung
    assert not caller.is_alive()


@pytest.mark.parametrize(
    ("order", "calls", "struck"),
    [
        (Order("error"), ["create", "read", "list"], [True, True, True]),
        (Order("error", op="create"), ["create", "read"], [True, False]),
        (Order("error", times=1), ["create", "create"], [True, False]),
        (Order("error", skip=2, times=1), ["create"] * 4, [False, False, True, False]),
        (Order("error", name="db"), ["create"], [False]),
    ],
)
def test_an_order_strikes_what_it_names_and_as_often_as_it_says(order, calls, struck):
    assert [order.strikes(op, "web") for op in calls] == struck


@pytest.mark.parametrize("wrong", [{"kind": "flood"}, {"kind": "error", "stage": "during"}])
def test_trouble_that_does_not_exist_cannot_be_ordered(wrong):
    with pytest.raises(ValueError, match="no such trouble"):
        Order(**wrong)


def test_an_unfinished_line_in_the_ledger_is_not_passed_over(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"n": 1, "op": "cre', encoding="utf-8")

    with pytest.raises(ValueError, match="Unterminated"):
        Ledger(path)


def attempt(api, name):
    """Make a server, if the cloud lets us."""
    try:
        api.call("POST", "/servers", {"name": name})
    except CloudError:
        return
