"""Stop a program so that it can put its things in order, and so that it does end."""

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

from opsplatform.adapters.process_table import is_running, kill_members, kill_session, start_time_of

SECOND_GRACE_SECONDS = 15.0
POLL_SECONDS = 0.1


def stop_process(pid: int, start_time: str, grace: float) -> bool:
    """Stop a process that a dead worker left behind; False when that very process does not run."""
    descriptor = pidfd(pid)
    try:
        if not is_running(pid, start_time):
            return False
        ladder = Ladder(pid, grace)
        while is_running(pid, start_time):
            ladder.climb()
            wait_for(descriptor, POLL_SECONDS)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if start_time_of(pid) in {"", start_time}:  # else the number is in use again, so nothing of the session is left
        kill_members(pid)
    return True


@dataclass
class Ladder:
    """SIGINT, a grace, SIGINT again, 15 seconds, SIGKILL to the whole session."""

    pid: int
    grace: float
    _rung: int = 0
    _next_at: float = field(default=0.0)

    def climb(self) -> None:
        """Take the next step when its time has come."""
        if time.monotonic() < self._next_at:
            return
        waits = (self.grace, SECOND_GRACE_SECONDS)
        if self._rung < len(waits):
            self._next_at = time.monotonic() + waits[self._rung]
            self._rung += 1
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)
        else:
            self._next_at = time.monotonic() + 1
            kill_session(self.pid)


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
