"""The platform as its operator runs it: separate processes that get killed, stopped and started."""

import os
import signal
import sys

from tests.flows.conftest import a_stack, wait_for
from tests.support import ROOT

SLOW = [{"id": "NumberField-seconds", "label": "秒", "type": "NumberField", "required": True}]


def test_the_main_job_runs_through_separate_processes(stack):
    instance_id = stack.simulator.submit("PROC-DEMO-SERVER", "zhangsan", {"服务器名称": "web-02", "规格": "large"})
    stack.in_status(instance_id, "planned")
    stack.simulator.agree(instance_id)

    run = stack.ended(instance_id)

    (resource,) = stack.api.resources_of(instance_id)
    assert run["status"] == "applied"
    assert resource["applicant"]["name"] == "张三"
    wait_for(stack.simulator.notifications, "the applicant to be told")


def test_health_says_what_is_ready(stack):
    assert stack.api.client.call("GET", "/healthz", safe=True) == {"status": "ok"}
    assert stack.api.client.call("GET", "/readyz", safe=True)["status"] == "ready"


def test_cancel_stops_a_running_apply_and_the_record_says_what_exists(stack):
    instance_id = approved_slow_run(stack, seconds=60)
    run = stack.in_status(instance_id, "applying")
    wait_for(lambda: "second" in str(stack.api.call("run.watch", id=run["id"])["resources"]), "the second resource")

    stack.api.call("run.cancel", id=run["id"])

    ended = stack.ended(instance_id)
    assert ended["status"] == "canceled"
    assert "terraform_data.first" in [r["address"] for r in stack.api.resources_of(instance_id)]


def test_a_worker_killed_while_applying_leaves_no_stuck_run_and_nothing_applied_twice(stack):
    instance_id = approved_slow_run(stack, seconds=45)
    run = stack.in_status(instance_id, "applying")
    wait_for(lambda: "running" in str(stack.api.call("run.watch", id=run["id"])["resources"]), "the second resource")

    kill_worker(stack)

    ended = stack.ended(instance_id)
    assert ended["status"] == "errored"
    assert "worker died" in ended["error"]
    assert [step["status"] for step in ended["timeline"]].count("applying") == 1
    assert "terraform_data.first" in [r["address"] for r in stack.api.resources_of(instance_id)]


def test_a_worker_killed_while_planning_is_replaced_and_the_run_is_planned_again(stack):
    stack.fleet.stop_one("worker")
    instance_id = stack.simulator.submit("PROC-DEMO-SERVER", "lisi", {"服务器名称": "again", "规格": "small"})
    stack.fleet.start("worker", [sys.executable, "manage.py", "worker"], stack.env)
    kill_worker(stack)

    assert stack.in_status(instance_id, "planned")["plan"]["add"] == 1


def test_ctrl_c_lets_a_running_apply_finish(tmp_path, stack):
    with a_stack(tmp_path / "data", stack.modules) as own:
        instance_id = approved_slow_run(own, seconds=3)
        own.in_status(instance_id, "applying")

        own.fleet.stop_one("worker")

        assert own.ended(instance_id)["status"] == "applied"


def test_serve_starts_everything_and_ctrl_c_stops_it_cleanly(stack, tmp_path):
    from opsplatform.adapters.fleet import Fleet, free_port

    fleet = Fleet(ROOT)
    env = {**stack.env, "PORT": str(free_port()), "OPS_DATA_DIR": str(tmp_path / "serve"), "DATABASE_URL": ""}
    fleet.call([sys.executable, "manage.py", "db", "upgrade"], env)
    fleet.start("serve", [sys.executable, "manage.py", "serve"], env)
    pid = fleet.pids()["serve"]
    wait_for(lambda: listening(int(env["PORT"])), "the web part to listen")

    os.kill(pid, signal.SIGINT)

    assert fleet.wait("serve", 30) == 0
    assert not listening(int(env["PORT"]))


def approved_slow_run(stack, seconds):
    """An approval whose apply takes this long, agreed to."""
    code = stack.simulator.add_template("慢", SLOW, process_code="PROC-SLOW")
    instance_id = stack.simulator.submit(code, "zhangsan", {"秒": seconds})
    stack.in_status(instance_id, "planned")
    stack.simulator.agree(instance_id)
    return instance_id


def kill_worker(stack):
    """kill -9 the worker and start another one."""
    os.kill(stack.fleet.pids()["worker"], signal.SIGKILL)
    stack.fleet.wait("worker", 10)
    stack.fleet.start("worker", [sys.executable, "manage.py", "worker"], stack.env)


def listening(port):
    """Whether something answers on a port."""
    from opsplatform.adapters.transport import Client
    from opsplatform.core.errors import UpstreamError

    try:
        Client(f"http://127.0.0.1:{port}", "opsplatform").call("GET", "/healthz", safe=False)
    except UpstreamError:
        return False
    return True
