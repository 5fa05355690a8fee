"""Programs end with their worker, however it dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opsplatform.adapters import keeper, process_stop
from opsplatform.adapters.keeper import Keeper
from opsplatform.adapters.process_stop import stop_process
from opsplatform.adapters.process_table import is_running, session_members, start_time_of
from tests.support import ROOT

WORKER = """
import sys
from pathlib import Path
from opsplatform.adapters.keeper import KEEPER
from opsplatform.adapters.process import Unwatched
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.adapters.terraform import Terraform, find_terraform

class Telling(Unwatched):
    def started(self, pid, start_time):
        self.pid = pid

    def lines(self, lines):
        if any(line.message and line.message["type"] == "provision_start" for line in lines):
            print(self.pid, KEEPER.pid, flush=True)

root = Path(sys.argv[1])
terraform = Terraform(find_terraform("", root), sandbox=Sandbox(sys.argv[2]))
env = terraform.environment(root, data_dir=None, extra={})
terraform.plan(root / "module", var_file=root / "variables.json", out=root / "plan", env=env, timeout=60)
terraform.apply(root / "module", root / "plan", env=env, timeout=60, grace=600, watch=Telling())
"""
SLEEPER = """
resource "terraform_data" "first" {
}
resource "terraform_data" "sleeper" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "sleep 75"
  }
}
"""


def until(look, what, seconds=30):
    end, pause = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        pause.wait(0.02)
    return found


class Worker:
    """A worker of its own with a Terraform in the middle of an apply."""

    def __init__(self, root, sandbox):
        self.module = root / "module"
        self.module.mkdir()
        (self.module / "main.tf").write_text(SLEEPER)
        (root / "variables.json").write_text("{}")
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(root), sandbox],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        told = self.process.stdout.readline().split()
        assert len(told) == 2, "the worker ended before its Terraform ran"
        self.terraform, self.keeper = map(int, told)
        self.started = start_time_of(self.terraform)

    def tree_is_gone(self):
        return not is_running(self.terraform, self.started) and session_members(self.terraform) == []


@pytest.fixture(params=["off", "auto"])
def worker(request, tmp_path):
    made = Worker(tmp_path, request.param)
    yield made
    made.process.kill()
    made.process.wait()
    made.process.stdout.close()
    until(made.tree_is_gone, "the end of Terraform")


@pytest.fixture
def program():
    """A program that counts how often it is interrupted, and ends a while after the first time."""
    made = []

    def start(script):
        child = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True)
        made.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in made:
        child.kill()
        child.wait()
        child.stdout.close()


def test_terraform_ends_in_order_when_its_worker_is_killed(worker):
    os.kill(worker.process.pid, signal.SIGKILL)

    until(worker.tree_is_gone, "the end of Terraform")
    until(lambda: not Path(f"/proc/{worker.keeper}").exists(), "the end of the keeper")
    state = json.loads((worker.module / "terraform.tfstate").read_text())
    assert {block["name"] for block in state["resources"]} >= {"first"}
    assert not (worker.module / ".terraform.tfstate.lock.info").exists()


def test_terraform_ends_when_the_whole_group_of_its_worker_is_killed(worker):
    os.killpg(worker.process.pid, signal.SIGKILL)

    until(worker.tree_is_gone, "the end of Terraform")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_keeper_outlives_signals_that_are_not_meant_for_it(worker, number):
    os.kill(worker.keeper, number)

    worker.process.kill()

    until(worker.tree_is_gone, "the end of Terraform")


def test_another_workers_stop_and_the_keeper_do_no_harm_together(worker):
    worker.process.kill()

    stop_process(worker.terraform, worker.started, 30)

    assert worker.tree_is_gone()
    state = json.loads((worker.module / "terraform.tfstate").read_text())
    assert {block["name"] for block in state["resources"]} >= {"first"}


def test_several_who_stop_a_program_interrupt_it_once(program, tmp_path):
    told = tmp_path / "told"
    child = program(
        f"trap 'echo told >> {told}; left=20' INT; left=9999; echo ready; "
        "while [ $left -gt 0 ]; do sleep 0.05; left=$((left-1)); done"
    )
    started = start_time_of(child.pid)

    with ThreadPoolExecutor(4) as pool:
        stopped = list(pool.map(lambda _: stop_process(child.pid, started, 20), range(4)))

    assert stopped == [True] * 4
    assert told.read_text() == "told\n"


def test_whoever_waits_too_long_for_another_acts_itself(program, monkeypatch):
    monkeypatch.setattr(process_stop, "SECOND_GRACE_SECONDS", 0.2)
    child = program("trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done")
    other = process_stop._Turn(child.pid, patience=60)
    assert other.is_ours()

    stop_process(child.pid, start_time_of(child.pid), 0.2)
    other.close()

    assert child.wait() == 7


def test_a_killed_keeper_is_replaced_and_knows_everything(program):
    own = Keeper()
    first = program("trap 'exit 0' INT; echo ready; while :; do sleep 0.05; done")
    second = program("trap 'exit 0' INT; echo ready; while :; do sleep 0.05; done")
    own.watch(first.pid, start_time_of(first.pid), 5)
    killed = own.pid
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)

    own.watch(second.pid, start_time_of(second.pid), 5)
    replaced = own._process
    own.close()

    assert replaced.pid != killed
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert replaced.wait(30) == 0


def test_what_has_ended_is_not_stopped(program):
    own = Keeper()
    child = program("trap 'exit 3' INT; echo ready; sleep 0.3; exit 0")
    own.watch(child.pid, start_time_of(child.pid), 5)
    own.forget(child.pid)

    own.close()

    assert child.wait(10) == 0


def test_a_keeper_with_nothing_to_do_leaves_at_once():
    own = Keeper()
    own.watch(os.getpid(), "another boot:1", 5)
    own.forget(os.getpid())
    pid = own.pid

    own.close()

    assert not Path(f"/proc/{pid}").exists()


def test_a_line_that_death_cut_short_is_passed_over():
    left = keeper.remember(["+ 5 10.0 boot:1\n", "+ 6 2.5 boot:2\n", "- 5\n", "- 9\n", "+ 7", "+ 8 x boot:3\n"])

    assert left == [(6, "boot:2", 2.5)]


def test_a_forked_worker_has_a_keeper_of_its_own():
    own = Keeper()
    own.watch(os.getpid(), "another boot:1", 5)
    before = own.pid
    own._owner = os.getppid()  # as a child sees what it was forked with
    inherited = own._process

    own.watch(os.getpid(), "another boot:1", 5)
    after = own.pid
    own.forget(os.getpid())
    own.close()
    inherited.stdin.close()
    inherited.wait()

    assert before != after
