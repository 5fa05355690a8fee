"""Terraform, its provider or the worker die in the middle: what exists is on the record, and nothing is twice."""

import os
import shutil
import signal
import sys
import threading

import pytest

from tests.cloud.client import Cloud
from tests.cloud.crashes import kill_provider, kill_terraform, unaccounted
from tests.cloud.offers import ENVIRONMENT_SETTING, MANY, SERVER, add_modules, add_templates, write_credentials
from tests.cloud.server import running_cloud
from tests.flows.conftest import a_stack, wait_for
from tests.support import ROOT

pytestmark = pytest.mark.flow


def test_a_killed_terraform_leaves_nothing_in_the_cloud_that_is_not_on_record(cloud_house, cloud):
    cloud.order("hang", op="create", stage="after", skip=2)
    instance_id, run = interrupted(cloud_house, cloud, MANY, {"名称": "web", "数量": 5}, until=5)

    states = [row["state"] for row in cloud_house.api.resources_of(instance_id)]
    assert run["status"] == "errored"
    assert sorted(states) == ["active", "active", "orphaned", "orphaned", "orphaned"]
    assert unaccounted(cloud, cloud_house.api) == []


def test_a_killed_provider_leaves_nothing_in_the_cloud_that_is_not_on_record(cloud_house, cloud):
    cloud.order("hang", op="create", stage="after", skip=1)
    instance_id, run = interrupted(cloud_house, cloud, MANY, {"名称": "web", "数量": 3}, until=3, kill=kill_provider)

    states = [row["state"] for row in cloud_house.api.resources_of(instance_id)]
    assert run["status"] == "errored"
    assert sorted(states) == ["active", "orphaned", "orphaned"]
    assert unaccounted(cloud, cloud_house.api) == []


def test_a_quiet_terraform_keeps_nothing_back_from_those_who_watch(cloud_house, cloud):
    cloud.order("hang", op="create", stage="after", skip=1)
    instance_id, working = applying_in_house(cloud_house, cloud, MANY, {"名称": "web", "数量": 2}, until=2)
    run = cloud_house.api.run_of(instance_id)

    wait_for(lambda: len(finished(cloud_house, run)) == 1, "the first server to be shown", seconds=5)

    cloud.release()
    working.join(60)
    assert cloud_house.api.run_of(instance_id)["status"] == "applied"


def test_an_orphan_stays_on_record_when_a_retry_makes_another_server_in_its_place(cloud_house, cloud):
    cloud.order("hang", op="create", stage="after", times=1)
    instance_id, run = interrupted(cloud_house, cloud, SERVER, {"名称": "web"}, until=1)

    retried = cloud_house.api.call("run.retry", id=run["id"])
    cloud_house.work()
    cloud_house.api.call("run.confirm", id=retried["id"])
    cloud_house.work()

    assert cloud_house.api.call("run.get", id=retried["id"])["status"] == "applied"
    assert len(cloud.objects()) == 2
    assert sorted(row["state"] for row in cloud_house.api.resources_of(instance_id)) == ["active", "orphaned"]
    assert unaccounted(cloud, cloud_house.api) == []


def test_a_large_apply_that_is_killed_before_its_state_is_saved_lists_every_server(cloud_house, cloud):
    cloud.order("hang", op="create", stage="after", skip=105)
    _, run = interrupted(cloud_house, cloud, MANY, {"名称": "web", "数量": 115}, until=115)

    assert run["status"] == "errored"
    assert unaccounted(cloud, cloud_house.api) == []


def test_a_worker_that_is_killed_loses_nothing_because_its_terraform_is_let_finish(stack, stack_cloud):
    stack_cloud.order("latency", op="create", stage="after", seconds=4)
    instance_id = applying(stack, stack_cloud, number=3)

    kill_worker(stack)

    run = stack.ended(instance_id)
    assert run["status"] == "errored"
    assert "worker died" in run["error"]
    assert {row["state"] for row in stack.api.resources_of(instance_id)} == {"active"}
    assert unaccounted(stack_cloud, stack.api) == []


@pytest.mark.parametrize("files", ["are there", "are gone"])
def test_a_worker_and_its_terraform_that_are_killed_leave_nothing_that_is_not_on_record(stack, stack_cloud, files):
    stack_cloud.order("hang", op="create", stage="after", skip=1)
    instance_id = applying(stack, stack_cloud, number=3)
    run = stack.api.run_of(instance_id)
    wait_for(lambda: len(finished(stack, run)) == 1, "the first server to be shown", seconds=10)

    os.kill(stack.fleet.pids()["worker"], signal.SIGKILL)
    kill_terraform(stack.data, run["id"])
    if files == "are gone":
        for folder in (stack.data / "runs").iterdir():
            shutil.rmtree(folder)
    restart_worker(stack)

    assert stack.ended(instance_id)["status"] == "errored"
    assert sorted(row["state"] for row in stack.api.resources_of(instance_id)) == ["active", "orphaned", "orphaned"]
    assert unaccounted(stack_cloud, stack.api) == []


def interrupted(house, cloud, process_code, values, *, until, kill=kill_terraform):
    """An approved run that is killed once the cloud holds so many servers; answers approval and run."""
    instance_id, working = applying_in_house(house, cloud, process_code, values, until=until)
    run = house.api.run_of(instance_id)
    wait_for(lambda: len(finished(house, run)) == until - cloud.hanging(), "Terraform to hear of those that answered")
    kill(house.app.extensions["settings"].data_dir, run["id"])
    working.join(60)
    cloud.clear()
    cloud.release()
    return instance_id, house.api.run_of(instance_id)


def applying_in_house(house, cloud, process_code, values, *, until):
    """An approved run that has asked the cloud for so many servers; answers approval and the thread that works."""
    instance_id = house.submit(values, process_code=process_code)
    house.work()
    house.agree(instance_id)
    working = threading.Thread(target=house.work)
    working.start()
    wait_for(lambda: len(cloud.objects()) == until, f"{until} servers in the cloud")
    return instance_id, working


def finished(house, run):
    """What the platform shows as made."""
    return [each for each in house.api.call("run.watch", id=run["id"])["resources"] if each["state"] == "done"]


@pytest.fixture(scope="module")
def running_platform(tmp_path_factory, mirror):
    """The platform as processes, on a cloud of its own."""
    folder = tmp_path_factory.mktemp("stack")
    modules = folder / "modules"
    shutil.copytree(ROOT / "terraform_modules", modules)
    add_modules(modules)
    with running_cloud(folder / "ledger.jsonl") as server:
        credentials = write_credentials(folder / "demo.env", server.url)
        settings = {"terraform_plugin_mirror": mirror, ENVIRONMENT_SETTING.lower(): credentials}
        with a_stack(folder / "data", modules, **settings) as started:
            add_templates(started.simulator)
            started.data = folder / "data"
            yield started, Cloud(server.url)


@pytest.fixture
def stack(running_platform):
    """The running platform."""
    return running_platform[0]


@pytest.fixture
def stack_cloud(running_platform):
    """Its cloud, without trouble when a test begins and ends."""
    yield running_platform[1]
    running_platform[1].clear()
    running_platform[1].release()


def applying(stack, cloud, *, number):
    """An approval whose apply has asked the cloud for so many servers more."""
    before = len(cloud.objects())
    instance_id = stack.simulator.submit(MANY, "zhangsan", {"名称": "web", "数量": number})
    stack.in_status(instance_id, "planned")
    stack.simulator.agree(instance_id)
    wait_for(lambda: len(cloud.objects()) == before + number, f"{number} servers in the cloud")
    return instance_id


def kill_worker(stack):
    """kill -9 the worker and start another one."""
    os.kill(stack.fleet.pids()["worker"], signal.SIGKILL)
    restart_worker(stack)


def restart_worker(stack):
    """Start a worker in the place of the one that was killed."""
    stack.fleet.wait("worker", 10)
    stack.fleet.start("worker", [sys.executable, "manage.py", "worker"], stack.env)
