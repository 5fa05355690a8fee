"""The runner below Terraform, also on systems that offer less than Linux does."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from opsplatform.adapters import process, process_stop, process_table
from opsplatform.adapters.process import Job, Unwatched
from opsplatform.adapters.process_stop import stop_process
from opsplatform.adapters.process_table import is_running, session_members, start_time_of
from opsplatform.core.errors import UpstreamError

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def shell(tmp_path):
    def job(script, *, timeout=30.0, grace=5.0, env=None):
        return Job("shell", ["/bin/sh", "-c", script], tmp_path, env or ENV, tmp_path, timeout, grace)

    return job


@pytest.fixture
def running():
    """A process of its own session that a dead worker could have left; ended after the test."""
    made = []

    def start(script):
        child = subprocess.Popen(
            ["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, env=ENV, text=True
        )
        made.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in made:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.fixture(params=["pidfd", "thread"])
def kernel(request, monkeypatch):
    """With process descriptors, and without."""
    if request.param == "thread":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.fixture
def without_proc(monkeypatch, tmp_path):
    if not Path("/bin/ps").exists():
        pytest.skip("this system has no /bin/ps")
    monkeypatch.setattr(process_table, "PROC", tmp_path / "no-proc")


@pytest.mark.usefixtures("kernel")
def test_the_exit_code_and_signal_are_told(shell):
    plain = process.run(shell("exit 3"), Unwatched())
    killed = process.run(shell("kill -9 $$"), Unwatched())

    assert (plain.code, killed.code) == (3, -9)
    assert (plain.canceled, plain.timed_out) == (False, False)


@pytest.mark.usefixtures("kernel")
def test_a_watch_that_fails_at_the_last_line_leaves_nothing_to_see_off(shell):
    class Failing(Unwatched):
        def lines(self, lines):
            raise LookupError

    with pytest.raises(LookupError):
        process.run(shell("echo done"), Failing())

    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("leave-")]  # it could hit a number that is used again


@pytest.mark.usefixtures("kernel")
def test_a_time_out_interrupts_first(shell, tmp_path):
    ended = process.run(shell("trap 'echo tidy; exit 5' INT; sleep 30 & wait", timeout=0.3), Unwatched())

    assert (ended.code, ended.timed_out) == (5, True)
    assert (tmp_path / "stdout").read_text() == "tidy\n"


@pytest.mark.usefixtures("without_proc")
def test_without_a_process_table_the_group_is_killed_all_the_same(shell):
    ended = process.run(shell("echo begun; sleep 30 & wait", timeout=0.2), Unwatched())

    assert ended.timed_out


def test_output_is_added_and_only_the_new_is_told(shell, tmp_path):
    (tmp_path / "stdout").write_text("old\n")
    seen = []

    class Taking(Unwatched):
        def lines(self, lines):
            seen.extend(line.text for line in lines)

    process.run(shell("echo new"), Taking())

    assert seen == ["new"]
    assert (tmp_path / "stdout").read_text() == "old\nnew\n"


def test_a_very_long_line_comes_whole(shell):
    seen = []

    class Taking(Unwatched):
        def lines(self, lines):
            seen.extend(line.text for line in lines)

    process.run(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"), Taking())

    assert [len(text) for text in seen] == [3_000_000, 3]


def test_nothing_is_read_from_our_input(shell):
    assert process.run(shell("cat; exit 4"), Unwatched()).code == 4


def test_a_variable_that_cannot_be_passed_is_refused(shell):
    with pytest.raises(UpstreamError, match="not fit to be passed"):
        process.run(shell("exit 0", env={"A": "nul\x00"}), Unwatched())


@pytest.mark.usefixtures("kernel")
def test_a_process_left_behind_is_interrupted_and_its_strays_killed(running):
    child = running("trap 'exit 0' INT; sleep 71 & echo ready; while :; do sleep 0.05; done")

    stopped = stop_process(child.pid, start_time_of(child.pid), 10)

    assert stopped
    assert child.wait() == 0
    assert session_members(child.pid) == []


@pytest.mark.usefixtures("kernel")
def test_a_process_that_ignores_interrupts_is_killed(running, monkeypatch):
    monkeypatch.setattr(process_stop, "SECOND_GRACE_SECONDS", 0.1)
    child = running("trap '' INT; echo ready; while :; do sleep 0.05; done")

    stopped = stop_process(child.pid, start_time_of(child.pid), 0.1)

    assert stopped
    assert child.wait() == -signal.SIGKILL


def test_what_is_gone_needs_no_stopping(running):
    child = running("echo ready")
    recorded = start_time_of(child.pid)
    child.wait()

    assert recorded
    assert not stop_process(child.pid, recorded, 1)
    assert start_time_of(child.pid) == ""


def test_a_zombie_does_not_run(running):
    child = running("echo ready; exec sleep 72")
    recorded = start_time_of(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert start_time_of(child.pid) == recorded
    assert not is_running(child.pid, recorded)


def test_a_start_time_names_the_boot_and_fits_a_column(monkeypatch):
    own = start_time_of(os.getpid())
    monkeypatch.setattr(process_table, "boot_id", lambda: "another-boot")

    assert 0 < len(own) <= 64
    assert is_running(os.getpid(), start_time_of(os.getpid()))
    assert not is_running(os.getpid(), own)


@pytest.mark.usefixtures("without_proc")
def test_without_a_process_table_ps_is_asked(running):
    child = running("echo ready; exec sleep 72")
    recorded = start_time_of(child.pid)

    assert is_running(child.pid, recorded)
    assert not is_running(child.pid, "another time")
    assert start_time_of(2**22 + 1) == ""
    assert session_members(child.pid) == []
