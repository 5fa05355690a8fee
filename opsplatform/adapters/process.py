"""Run a program that must survive us: in its own session, writing to files, with a way to stop it that always ends.

Output goes to files and never to pipes: when this process dies the program goes on, and another process can read the
same files. Only the program itself is interrupted, so that it can end its own children in order; what it leaves
behind in its session is killed once it has gone. The keeper stops it should we die.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opsplatform.adapters.keeper import KEEPER
from opsplatform.adapters.process_limits import NOTHING, Limits, Meter, Used
from opsplatform.adapters.process_output import LogLine, Tail
from opsplatform.adapters.process_stop import Ladder, pidfd, wait_readable
from opsplatform.adapters.process_table import kill_session, start_time_of
from opsplatform.core.errors import UpstreamError

POLL_SECONDS = 0.1
LINES_SECONDS = 0.2
EXCESS_GRACE_SECONDS = 2.0
KB = 1024


class Watch(Protocol):
    """How a caller follows a program and stops it.

    An error raised here leaves the program running, for whoever takes the work over.
    """

    def started(self, pid: int, start_time: str) -> None:
        """Note which process it is, so that a later worker can find it."""

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Take the lines written since the last call; at most every 200 ms, and once at the end."""

    def wants_stop(self) -> bool:
        """Whether to interrupt it; asked about every 100 ms."""
        ...


class Unwatched:
    """Follows nothing and stops nothing."""

    def started(self, pid: int, start_time: str) -> None:
        """Note nothing."""

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Drop the lines."""

    def wants_stop(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Job:
    """A program to run; its output is appended to the files `stdout` and `stderr` of the folder `output`.

    `limits` are watched here over all its processes; what the kernel enforces is part of the command. `descriptors`
    are handed to it, and `begun` is called with its number once it runs.
    """

    system: str
    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    output: Path
    timeout: float
    grace: float
    limits: Limits | None = None
    descriptors: Sequence[int] = ()
    begun: Callable[[int], None] | None = None

    @property
    def stdout(self) -> Path:
        """Where its standard output goes."""
        return self.output / "stdout"

    @property
    def stderr(self) -> Path:
        """Where its standard error goes."""
        return self.output / "stderr"


@dataclass(frozen=True)
class Ended:
    """How a program ended; `canceled`, `timed_out` and `excess` say that we stopped it, and why."""

    code: int
    canceled: bool = False
    timed_out: bool = False
    excess: str = ""
    used: Used = NOTHING


def run(job: Job, watch: Watch) -> Ended:
    """Run the program to its end, or raise UpstreamError when it cannot be started."""
    out, err = _open(job, job.stdout), _open(job, job.stderr)
    with closing(Tail(out, "stdout")) as stdout, closing(Tail(err, "stderr")) as stderr:
        child = _Child(_start(job, out, err))
        try:
            _begin(child, job, watch)
            return _follow(child, job, watch, (stdout, stderr))
        except BaseException:
            child.leave()
            raise


def _begin(child: "_Child", job: Job, watch: Watch) -> None:
    """Let everybody know who has to."""
    start_time = start_time_of(child.pid)
    KEEPER.watch(child.pid, start_time, job.grace)
    if job.begun:
        job.begun(child.pid)
    watch.started(child.pid, start_time)


def _follow(child: "_Child", job: Job, watch: Watch, tails: Sequence[Tail]) -> Ended:
    begun = time.monotonic()
    next_lines = begun + LINES_SECONDS
    with closing(_Brake(child.pid, job, watch)) as brake:
        while not child.ended(POLL_SECONDS):
            if time.monotonic() >= next_lines:
                _deliver(tails, watch)
                next_lines = time.monotonic() + LINES_SECONDS
            brake.look()
        code, used = child.finish()
    for tail in tails:
        tail.end()
    _deliver(tails, watch)
    used = used.as_seen(brake.peak_bytes, time.monotonic() - begun)
    return Ended(code, canceled=brake.canceled, timed_out=brake.timed_out, excess=brake.excess, used=used)


class _Brake:
    """Stops a program when somebody wants it, when its time is over, or when it uses too much."""

    def __init__(self, pid: int, job: Job, watch: Watch) -> None:
        self._pid = pid
        self._watch = watch
        self._deadline = time.monotonic() + job.timeout
        self._ladder = Ladder(pid, job.grace)
        self._meter = Meter(pid, (job.folder,), job.limits) if job.limits else None
        self.canceled = self.timed_out = False
        self.excess = ""

    @property
    def peak_bytes(self) -> int:
        """The most memory all its processes were seen with together."""
        return self._meter.peak_bytes if self._meter else 0

    def look(self) -> None:
        """See whether it must stop, and if so take the next step."""
        self._measure()
        if not (self.canceled or self.timed_out or self.excess):
            self.canceled = self._watch.wants_stop()
            self.timed_out = not self.canceled and time.monotonic() >= self._deadline
        if self.canceled or self.timed_out or self.excess:
            self._ladder.climb()

    def close(self) -> None:
        """Let others stop it, if there is anything left."""
        self._ladder.close()

    def _measure(self) -> None:
        excess = self._meter.excess() if self._meter else ""
        if excess and not self.excess:
            self.excess = excess
            self._ladder.close()
            self._ladder = Ladder(self._pid, EXCESS_GRACE_SECONDS)
        if excess and self._meter and self._meter.far:
            kill_session(self._pid)  # asking takes time, and it takes more meanwhile


def _deliver(tails: Sequence[Tail], watch: Watch) -> None:
    lines = [line for tail in tails for line in tail.read()]
    if lines:
        watch.lines(lines)


def _open(job: Job, path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UpstreamError(job.system, f"{path}: cannot be written ({error.strerror}).") from error


def _start(job: Job, out: int, err: int) -> "subprocess.Popen[bytes]":
    program = job.command[0]
    try:
        return subprocess.Popen(
            job.command,
            cwd=job.folder,
            env=dict(job.env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=job.descriptors,
            start_new_session=True,
        )
    except OSError as error:
        what = job.folder if error.filename == str(job.folder) else program
        raise UpstreamError(job.system, f"{what}: cannot be started ({error.strerror}).") from error
    except ValueError as error:
        raise UpstreamError(job.system, f"{program}: an argument or variable is not fit to be passed.") from error


class _Child:
    """A program we started; its end is noticed at once, and it stays a zombie until `finish`.

    As long as it is one, its number belongs to nobody else, so its session can be killed safely.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self._gone = threading.Event()
        self._descriptor = pidfd(self.pid)
        if self._descriptor is None:
            threading.Thread(target=self._wait, name=f"wait-{self.pid}", daemon=True).start()

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for its end."""
        if self._descriptor is None:
            return self._gone.wait(timeout)
        return wait_readable(self._descriptor, timeout)

    def finish(self) -> tuple[int, Used]:
        """Kill what it left behind; its exit code, negative for a signal, and what it used."""
        kill_session(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        KEEPER.forget(self.pid)
        if self._descriptor is not None:
            os.close(self._descriptor)
        return code, Used(usage.ru_maxrss * KB, usage.ru_utime + usage.ru_stime)

    def leave(self) -> None:
        """Let it run, if it does; clean up after it when it ends, if we still live then."""
        if self._process.returncode is None:
            threading.Thread(target=self._see_off, name=f"leave-{self.pid}", daemon=True).start()

    def _see_off(self) -> None:
        self._wait()
        self.finish()

    def _wait(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._gone.set()
