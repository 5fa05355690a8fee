"""Find and stop processes of a worker that died: by number and start time, so that a reused number is never hit."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

PROC = Path("/proc")
ZOMBIE = "Z"
LONGEST_KILL_SECONDS = 2.0


@cache
def boot_id() -> str:
    """What tells this boot of this host from any other; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_time_of(pid: int) -> str:
    """When the process with this number started, as a text to compare (up to 64 characters); empty if there is none.

    It names the boot too, so that a number and time recorded on another host or before a restart match nothing.
    """
    state_and_time = _read(pid)
    return state_and_time[1] if state_and_time else ""


def is_running(pid: int, start_time: str) -> bool:
    """Whether that very process still runs; a zombie does not."""
    found = _read(pid)
    return found is not None and bool(start_time) and found[1] == start_time and found[0] != ZOMBIE


def leader_in(folder: Path) -> tuple[int, str] | None:
    """Number and start time of the process that leads a session and works in this folder; None where there is none."""
    where = folder.resolve()
    for pid in _numbers():
        with suppress(OSError):
            if (PROC / str(pid) / "cwd").readlink() == where and _session_of(pid) == pid and _state(pid) != ZOMBIE:
                return pid, start_time_of(pid)
    return None


def session_members(session: int) -> list[int]:
    """Every living process of a session, in whatever group."""
    return [pid for pid in _numbers() if _session_of(pid) == session and _state(pid) not in {"", ZOMBIE}]


def kill_session(session: int) -> None:
    """SIGKILL everything in a session whose leader is alive or not yet reaped, however fast it forks."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    kill_members(session)


def kill_members(session: int) -> None:
    """SIGKILL the living processes of a session until none is left."""
    end = time.monotonic() + LONGEST_KILL_SECONDS
    while time.monotonic() < end:
        alive = session_members(session)
        if not alive:
            return
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.0003)  # dying takes a moment


def _numbers() -> list[int]:
    """Every process there is; none where there is no /proc."""
    if not PROC.is_dir():
        return []
    with os.scandir(PROC) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _state(pid: int) -> str:
    found = _read(pid)
    return found[0] if found else ""


def _read(pid: int) -> tuple[str, str] | None:
    """State letter and start time of a process."""
    if not PROC.is_dir():
        return _ask_ps(pid)
    try:
        text = (PROC / str(pid) / "stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return fields[0], f"{boot_id()}:{fields[19]}"


def _ask_ps(pid: int) -> tuple[str, str] | None:
    """The same where there is no /proc."""
    command = ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, started = done.stdout.strip().partition(" ")
    return (state[:1], started.strip()) if started else None
