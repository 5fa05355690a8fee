"""The drill of docs/operations.md, step by step: the database is lost, and there is a backup of yesterday."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opsplatform.core.errors import UpstreamError
from tests.flows.conftest import EXTRA_MODULES, a_stack, make_database, wait_for
from tests.support import KIND, ROOT

SLOW = [{"id": "NumberField-seconds", "label": "秒", "type": "NumberField", "required": True}]
PLATFORM = ("scheduler", "worker", "run")
HEADING = "## Drill: the database is restored from yesterday's backup"


@pytest.fixture
def drill():
    """The commands of the drill as the page gives them, in their order."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page[page.index(HEADING) :].removeprefix(HEADING).partition("\n## ")[0]
    return re.findall(r"^ *python manage\.py (.+)$", section, re.MULTILINE)


@pytest.fixture
def stack(tmp_path):
    modules = tmp_path / "modules"
    shutil.copytree(ROOT / "terraform_modules", modules)
    shutil.copytree(EXTRA_MODULES / "slow", modules / "slow")
    with a_stack(tmp_path / "data", modules) as started:
        started.simulator.add_template("慢", SLOW, process_code="PROC-SLOW")
        yield started


def manage(stack, words, file):
    """Run a command of the page on this installation; what it says."""
    command = [sys.executable, "manage.py", *(str(file) if word.endswith(".tar") else word for word in words.split())]
    done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lose_the_database(stack):
    if KIND == "sqlite":
        for path in Path(stack.env["OPS_DATA_DIR"]).glob("opsplatform.db*"):
            path.unlink()
        return
    make_database(stack.env["DATABASE_URL"].rpartition("/")[2])


def submit(stack, *, seconds=None):
    """A form; one that gives seconds takes that long to apply."""
    if seconds is None:
        return stack.simulator.submit("PROC-DEMO-SERVER", "zhangsan", {"服务器名称": "web-01", "规格": "small"})
    return stack.simulator.submit("PROC-SLOW", "zhangsan", {"秒": seconds})


def agreed(stack, instance_id):
    stack.in_status(instance_id, "planned")
    stack.simulator.agree(instance_id)
    return instance_id


def test_the_drill_brings_the_platform_back_and_nothing_is_applied_twice(stack, drill, tmp_path):
    restoring, examining, saving = drill
    file = tmp_path / "yesterday.tar"
    done, waiting, working = work_of_yesterday(stack)
    resources = stack.api.resources_of(done)
    assert "rows as they were at" in manage(stack, saving, file)
    lost = work_of_today(stack, waiting, working)
    numbers = [stack.api.run_of(instance_id)["id"] for instance_id in (waiting, working)]

    for name in PLATFORM:
        stack.fleet.stop_one(name)
    lose_the_database(stack)
    said = manage(stack, restoring, file)
    examined = manage(stack, examining, file)
    start_with_another_key(stack)
    stack.api.call("approval.replay", id=stack.api.approval(waiting)["id"])

    assert f"under way then: run {numbers[0]}, planned\n" in said
    assert f"under way then: run {numbers[1]}, applying\n" in said
    assert "FAIL" not in examined
    assert stack.api.resources_of(done) == resources
    assert stack.api.approval(lost) is None
    assert_it_ended_and_its_workspace_is_put_aside(stack, working)
    assert_it_waits_for_a_person(stack, waiting)
    stack.api.call("run.discard", id=numbers[0], reason="the cloud has it already")
    assert stack.ended(agreed(stack, submit(stack)))["status"] == "applied"
    assert "rows as they were at" in manage(stack, saving, tmp_path / "today.tar")


def work_of_yesterday(stack):
    """An approval that was carried out, one that waits for its approver, and one that is being applied."""
    done = agreed(stack, submit(stack))
    assert stack.ended(done)["status"] == "applied"
    waiting, working = submit(stack), agreed(stack, submit(stack, seconds=8))
    stack.in_status(waiting, "planned")
    stack.in_status(working, "applying")
    return done, waiting, working


def work_of_today(stack, waiting, working):
    """All that was under way is carried out, and a new approval too, which is answered."""
    lost = agreed(stack, submit(stack))
    agreed(stack, waiting)
    assert [stack.ended(each)["status"] for each in (working, waiting, lost)] == ["applied"] * 3
    return lost


def start_with_another_key(stack):
    """Start everything; logins of before are void."""
    stack.env["SECRET_KEY"] = "another-key-for-tests-only-another-key"
    for name in reversed(PLATFORM):
        stack.fleet.start(name, [sys.executable, "manage.py", name], stack.env)
    wait_for(lambda: ready(stack), "the platform to be back")
    assert stack.api.error("user.me")["code"] == -32001
    stack.api.token = ""
    stack.api.log_in("admin")


def assert_it_ended_and_its_workspace_is_put_aside(stack, instance_id):
    run = stack.ended(instance_id)
    assert (run["status"], run["actions"]) == ("errored", ["retry"])
    assert "was applied before" in run["error"]
    assert stack.api.call("workspace.get", name=run["workspace"])["quarantined_reason"] == run["error"]
    assert stack.api.call("workspace.unlock", name=run["workspace"])["quarantined_reason"] is None


def assert_it_waits_for_a_person(stack, instance_id):
    wait_for(lambda: "confirm" in stack.api.run_of(instance_id)["actions"], "the plan that waits for a person")
    run = stack.api.run_of(instance_id)
    assert run["status"] == "planned"
    assert "applying" not in [step["status"] for step in run["timeline"]]


def ready(stack):
    stack.fleet.check()
    try:
        return stack.api.client.call("GET", "/readyz", safe=False)
    except UpstreamError:
        return False
