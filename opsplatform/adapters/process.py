"""Run a program that must survive us: in its own session, writing to files, with a way to stop it that always ends.

Output goes to files and never to pipes: when this process dies the program goes on, and another process can read the
same files. Only the program itself is interrupted, so that it can end its own children in order; what it leaves
behind in its session is killed once it has gone.
"""

import datetime as dt
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from opsplatform.adapters.process_stop import Ladder, pidfd, wait_readable
from opsplatform.adapters.process_table import kill_session, start_time_of
from opsplatform.core.db import now
from opsplatform.core.errors import UpstreamError

POLL_SECONDS = 0.1
LINES_SECONDS = 0.2
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LogLine:
    """One complete line of output; `message` is what it says to a program, where it does."""

    stream: str
    text: str
    at: dt.datetime
    message: dict[str, Any] | None = None


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
    """A program to run; its output is appended to the files `stdout` and `stderr` of the folder `output`."""

    system: str
    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    output: Path
    timeout: float
    grace: float

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
    """How a program ended; `canceled` and `timed_out` say that we interrupted it, and why."""

    code: int
    canceled: bool = False
    timed_out: bool = False


def run(job: Job, watch: Watch) -> Ended:
    """Run the program to its end, or raise UpstreamError when it cannot be started."""
    out, err = _open(job, job.stdout), _open(job, job.stderr)
    with closing(Tail(out, "stdout")) as stdout, closing(Tail(err, "stderr")) as stderr:
        child = _Child(_start(job, out, err))
        try:
            watch.started(child.pid, start_time_of(child.pid))
            return _follow(child, job, watch, (stdout, stderr))
        except BaseException:
            child.leave()
            raise


def _follow(child: "_Child", job: Job, watch: Watch, tails: Sequence["Tail"]) -> Ended:
    deadline = time.monotonic() + job.timeout
    next_lines = time.monotonic() + LINES_SECONDS
    ladder = Ladder(child.pid, job.grace)
    canceled = timed_out = False
    while not child.ended(POLL_SECONDS):
        if time.monotonic() >= next_lines:
            _deliver(tails, watch)
            next_lines = time.monotonic() + LINES_SECONDS
        if canceled or timed_out:
            ladder.climb()
            continue
        canceled = watch.wants_stop()
        timed_out = not canceled and time.monotonic() >= deadline
        if canceled or timed_out:
            ladder.climb()
    code = child.finish()
    for tail in tails:
        tail.end()
    _deliver(tails, watch)
    return Ended(code, canceled=canceled, timed_out=timed_out)


def _deliver(tails: Sequence["Tail"], watch: Watch) -> None:
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
            start_new_session=True,
        )
    except OSError as error:
        what = job.folder if error.filename == str(job.folder) else program
        raise UpstreamError(job.system, f"{what}: cannot be started ({error.strerror}).") from error
    except ValueError as error:
        raise UpstreamError(job.system, f"{program}: an argument or variable is not fit to be passed.") from error


class Tail:
    """The complete lines that are added to an open file from now on."""

    def __init__(self, descriptor: int, stream: str) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._offset = os.fstat(descriptor).st_size
        self._partial: list[bytes] = []
        self._ended = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def end(self) -> None:
        """Say that nothing will be added, so that an unfinished last line counts as one."""
        self._ended = True

    def read(self) -> list[LogLine]:
        """The lines that were completed since the last call."""
        at = now()
        return [LogLine(self._stream, raw.decode("utf-8", "replace").rstrip("\r"), at) for raw in self._new_lines()]

    def _new_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        while chunk := os.pread(self._descriptor, CHUNK_BYTES, self._offset):
            self._offset += len(chunk)
            *complete, rest = chunk.split(b"\n")
            if complete:
                complete[0] = b"".join([*self._partial, complete[0]])
                self._partial = []
                lines += complete
            self._partial.append(rest)
        if self._ended and any(self._partial):
            lines.append(b"".join(self._partial))
            self._partial = []
        return lines


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

    def finish(self) -> int:
        """Kill what it left behind and answer its exit code, negative for a signal."""
        kill_session(self.pid)
        code = self._process.wait()
        if self._descriptor is not None:
            os.close(self._descriptor)
        return code

    def leave(self) -> None:
        """Let it run; clean up after it when it ends, if we still live then."""
        threading.Thread(target=self._see_off, name=f"leave-{self.pid}", daemon=True).start()

    def _see_off(self) -> None:
        self._wait()
        self.finish()

    def _wait(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._gone.set()
