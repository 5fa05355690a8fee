"""Stop a program so that it can put its things in order, and so that it does end."""

import os
import select
import signal
import socket
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from opsplatform.adapters.process_table import is_running, kill_members, kill_session, start_time_of
from opsplatform.adapters.process_tree import hears_interrupts, program_of

SECOND_GRACE_SECONDS = 15.0
HEARING_SECONDS = 10.0
POLL_SECONDS = 0.1


def stop_process(pid: int, start_time: str, grace: float) -> bool:
    """Stop a process that a dead worker left behind; False when that very process does not run.

    Several may call this for the same process at once: one interrupts it, the others wait for the same end.
    """
    descriptor = pidfd(pid)
    try:
        if not is_running(pid, start_time):
            return False
        with closing(Ladder(pid, grace)) as ladder:
            while is_running(pid, start_time):
                ladder.climb()
                wait_for(descriptor, POLL_SECONDS)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if start_time_of(pid) in {"", start_time}:  # else the number is in use again, so nothing of the session is left
        kill_members(pid)
    return True


class Ladder:
    """SIGINT, a grace, SIGINT again, 15 seconds, SIGKILL to the whole session.

    A second SIGINT makes Terraform give up what is under way, so only one ladder at a time stands at a process.
    """

    def __init__(self, pid: int, grace: float) -> None:
        self._pid = pid
        self._waits = (grace, SECOND_GRACE_SECONDS)
        self._turn = _Turn(pid, patience=sum(self._waits) + 2 * POLL_SECONDS)
        self._rung = 0
        self._next_at = 0.0
        self._deaf_until = time.monotonic() + HEARING_SECONDS

    def climb(self) -> None:
        """Take the next step when its time has come."""
        if time.monotonic() < self._next_at or not self._turn.is_ours():
            return
        if self._rung == len(self._waits):
            self._next_at = time.monotonic() + 1
            kill_session(self._pid)
        elif self._interrupt():
            self._next_at = time.monotonic() + self._waits[self._rung]
            self._rung += 1
        elif time.monotonic() >= self._deaf_until:
            self._rung = len(self._waits)

    def _interrupt(self) -> bool:
        """Interrupt the program; False while it is so new in its sandbox that it would not notice."""
        program = program_of(self._pid)
        if program != self._pid and not hears_interrupts(program):
            return False
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGINT)
        return True

    def close(self) -> None:
        """Let somebody else have a turn."""
        self._turn.close()


class _Turn:
    """Who may stop a process: whoever holds a name that the kernel gives to one, and takes back when it dies."""

    def __init__(self, pid: int, *, patience: float) -> None:
        self._pid = pid
        self._until = time.monotonic() + patience
        self._held: socket.socket | None = None

    def is_ours(self) -> bool:
        """Whether it is our turn; also where there are no such names, and when the other takes too long."""
        if self._held is None and sys.platform == "linux":
            self._take()
        return self._held is not None or sys.platform != "linux" or time.monotonic() >= self._until

    def close(self) -> None:
        """Give the name back."""
        if self._held is not None:
            self._held.close()

    def _take(self) -> None:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0opsplatform-stop-{_process_table()}-{self._pid}")
        except OSError:
            name.close()
        else:
            self._held = name


def _process_table() -> str:
    """Which table of process numbers is meant: containers may share names and not numbers."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def wait_readable(descriptor: int, timeout: float) -> bool:
    """Whether the descriptor became readable within `timeout` seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def wait_for(descriptor: int | None, timeout: float) -> None:
    """Wait for the end of a process, or `timeout` seconds where only waiting is possible."""
    if descriptor is None:
        time.sleep(timeout)
    else:
        wait_readable(descriptor, timeout)
