"""Drills of docs/operations.md: what breaks, what is seen, what the platform does by itself, what a person does."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from urllib.request import urlopen

import pytest
import redis

from opsplatform.adapters.fleet import free_port
from opsplatform.adapters.process_tree import program_of
from opsplatform.core.errors import UpstreamError
from tests.cloud.conftest import cloud, mirror
from tests.cloud.crashes import kill_terraform, unaccounted
from tests.cloud.offers import ENVIRONMENT_SETTING, SERVER, add_modules, add_templates, write_credentials
from tests.flows.conftest import SERVER_FORM, a_stack, wait_for
from tests.support import ROOT

__all__ = ["cloud", "mirror"]

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture
def modules(tmp_path):
    """The catalogue that ships."""
    return shutil.copytree(ROOT / "terraform_modules", tmp_path / "modules")


@pytest.fixture
def on_a_cloud(tmp_path, modules, cloud, mirror):
    """The platform as processes, with modules that make servers in a cloud."""
    add_modules(modules)
    settings = {ENVIRONMENT_SETTING.lower(): write_credentials(tmp_path / "demo.env", cloud.url)}
    with a_stack(tmp_path / "data", modules, terraform_plugin_mirror=mirror, **settings) as stack:
        add_templates(stack.simulator)
        yield stack


@contextmanager
def a_redis(folder, port):
    """A broker of one's own."""
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), "Redis to answer")
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port):
    with redis.Redis(port=port) as client, suppress(redis.RedisError):
        return client.ping()


def submit(stack, process_code="PROC-DEMO-SERVER", values=None):
    return stack.simulator.submit(process_code, "zhangsan", values or SERVER_FORM)


def doctor(stack):
    """The lines of `manage.py doctor` that say FAIL."""
    command = [sys.executable, "manage.py", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith("FAIL")]


def waiting(stack):
    """How many events wait, as /metrics tells it."""
    with urlopen(f"{stack.api.address}/metrics") as answer:
        told = answer.read().decode()
    (line,) = [line for line in told.splitlines() if line.startswith("opsplatform_inbox_events{")]
    return float(line.split()[1])


def end_of(stack, run_id):
    return wait_for(lambda: ended(stack.api.call("run.get", id=run_id)), "the run to end")


def ended(run):
    return run if run["finished_at"] else None


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server to kill")
def test_a_lost_broker_delays_and_loses_nothing(tmp_path, modules):
    port = free_port()
    with (
        a_redis(tmp_path, port) as broker,
        a_stack(tmp_path / "data", modules, broker_url=f"redis://127.0.0.1:{port}/0", ops_log_level="ERROR") as stack,
    ):
        stack.in_status(submit(stack), "planned")

        broker.kill()
        broker.wait()
        instance_id = submit(stack)
        wait_for(lambda: waiting(stack) == 1, "the event to be stored")
        failing = doctor(stack)
        with pytest.raises(UpstreamError, match="503"):
            stack.api.client.call("GET", "/readyz", safe=False)

        with a_redis(tmp_path, port):
            stack.in_status(instance_id, "planned")

    assert failing == ["FAIL queue: the queue does not answer (ConnectionError)"]
    assert failing[0] in PAGE


def test_a_dingtalk_that_is_away_delays_and_loses_nothing(tmp_path, modules):
    with a_stack(tmp_path / "data", modules) as stack:
        agreed = submit(stack)
        stack.in_status(agreed, "planned")

        stack.simulator.fault("api.down", count=None)
        stack.simulator.agree(agreed)
        new = submit(stack)
        wait_for(lambda: waiting(stack) == 2, "the events to be stored")
        failing = doctor(stack)
        stack.simulator.clear_faults()

        assert stack.ended(agreed)["status"] == "applied"
        stack.in_status(new, "planned")
        wait_for(lambda: stack.simulator.comments(new), "the plan to be shown")

    assert failing == ["FAIL dingtalk: POST /v1.0/oauth2/accessToken: the connection broke before the answer"]
    assert failing[0] in PAGE


def test_a_lost_worker_leaves_an_orphan_that_a_person_settles(on_a_cloud, cloud):
    stack, api = on_a_cloud, on_a_cloud.api
    instance_id = submit(stack, SERVER, {"名称": "web"})
    stack.in_status(instance_id, "planned")
    cloud.order("hang", op="create", stage="after", times=1)
    stack.simulator.agree(instance_id)
    wait_for(cloud.hanging, "a server nobody heard of yet")
    run = api.run_of(instance_id)
    os.kill(stack.fleet.pids()["worker"], signal.SIGKILL)
    kill_terraform(stack.modules.parent / "data", run["id"])
    refused = api.error("workspace.unlock", name=run["workspace"])
    stack.fleet.wait("worker", 10)
    stack.fleet.start("worker", [sys.executable, "manage.py", "worker"], stack.env)

    run = stack.ended(instance_id)
    (orphan,) = api.call("resource.list", state="orphaned")["items"]
    assert refused["message"].startswith(f"Run {run['id']} is applying in workspace {run['workspace']}.")
    assert (run["status"], run["error"] in PAGE) == ("errored", True)
    assert (orphan["address"], orphan["provider_id"]) == ("fakecloud_server.this", None)
    assert unaccounted(cloud, api) == []

    cloud.delete_behind(cloud.objects()[0]["id"])
    api.call("resource.forget", id=orphan["id"], reason="removed in the console")
    retried = api.call("run.retry", id=run["id"])
    wait_for(lambda: api.call("run.get", id=retried["id"])["status"] == "planned", "the new plan")
    api.call("run.confirm", id=retried["id"])

    assert end_of(stack, retried["id"])["status"] == "applied"
    assert api.call("resource.list", state="orphaned")["items"] == []
    assert len(cloud.objects()) == 1
    assert unaccounted(cloud, api) == []


def test_a_call_that_is_given_up_leaves_an_orphan_too(on_a_cloud, cloud):
    """Terraform outlives its worker, is asked to stop and at last gives the call up that hangs."""
    stack = on_a_cloud
    instance_id = submit(stack, SERVER, {"名称": "web"})
    stack.in_status(instance_id, "planned")
    cloud.order("hang", op="create", stage="after", times=1)
    stack.simulator.agree(instance_id)
    wait_for(cloud.hanging, "a server nobody heard of yet")
    (noted,) = (stack.modules.parent / "data" / "runs").glob(f"{stack.api.run_of(instance_id)['id']}-*/process")
    terraform = int(noted.read_text().split()[0])

    stack.api.call("run.cancel", id=stack.api.run_of(instance_id)["id"])
    said = noted.parent / "module" / "stdout"
    wait_for(lambda: "Interrupt received" in said.read_text(), "Terraform to hear of it")
    os.kill(program_of(terraform), signal.SIGINT)  # as who stops it does when its grace is over

    assert stack.ended(instance_id)["status"] == "canceled"
    assert [row["address"] for row in stack.api.call("resource.list", state="orphaned")["items"]] == [
        "fakecloud_server.this"
    ]
    assert unaccounted(cloud, stack.api) == []
