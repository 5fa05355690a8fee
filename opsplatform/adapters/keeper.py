"""Programs never outlive their worker: a small process beside it waits for its death and stops what it left running.

The worker tells the keeper through a pipe what it starts and what has ended. However the worker dies, the kernel closes
that pipe; the keeper then stops everything that still runs, in order, and leaves. It is started with the first program,
lives in a session of its own, and costs nothing per program but one short line.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from opsplatform.adapters.process_stop import stop_process

ORPHAN_GRACE_SECONDS = 60.0
CLOSE_SECONDS = 10.0
NOT_FOR_IT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
ROOT = Path(__file__).parents[2]
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from opsplatform.adapters import keeper; keeper.main()"


class Keeper:
    """The worker's end of the pipe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._running: dict[int, bytes] = {}

    def watch(self, pid: int, start_time: str, grace: float) -> None:
        """Have this program stopped when we die; it gets `grace` seconds, at most a minute."""
        line = f"+ {pid} {min(grace, ORPHAN_GRACE_SECONDS)} {start_time}\n".encode()
        with self._guard:
            self._after_fork()
            self._running[pid] = line
            self._tell(line)

    def forget(self, pid: int) -> None:
        """It has ended."""
        with self._guard:
            if self._owner == os.getpid() and self._running.pop(pid, None) is not None:
                self._tell(f"- {pid}\n".encode())

    def close(self) -> None:
        """Send the keeper away, in the order of things; what still runs is stopped."""
        with self._guard:
            process = self._process if self._owner == os.getpid() else None
            if process is None or process.stdin is None:
                return
            seconds = 0 if self._running else CLOSE_SECONDS
            self._process, self._running = None, {}
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)

    @property
    def pid(self) -> int | None:
        """The keeper's process number; None when none is needed yet."""
        return self._process.pid if self._process else None

    def _after_fork(self) -> None:
        """A forked child has programs, and a keeper, of its own."""
        if self._owner != os.getpid():
            self._owner, self._process, self._running = os.getpid(), None, {}

    def _tell(self, line: bytes) -> None:
        if self._process is None or not self._write(line):
            self._process = self._start()
            self._write(b"".join(self._running.values()))

    def _write(self, text: bytes) -> bool:
        """False when the keeper was killed."""
        process = self._process
        if process is None or process.stdin is None:
            return False
        try:
            os.write(process.stdin.fileno(), text)
        except BrokenPipeError:
            process.stdin.close()
            process.wait()
            return False
        return True

    def _start(self) -> "subprocess.Popen[bytes]":
        before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_IT)  # a child starts with what its parent blocks
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", PROGRAM],
                cwd="/",
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> None:
    """What the keeper does: remember until the pipe closes, then stop what is left."""
    left = remember(sys.stdin)
    threads = [threading.Thread(target=stop_process, args=each) for each in left]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def remember(lines: Iterable[str]) -> list[tuple[int, str, float]]:
    """The programs that were started and did not end: number, start time, grace."""
    running: dict[int, tuple[int, str, float]] = {}
    for line in lines:
        with suppress(ValueError):  # a line that the worker's death cut short
            sign, pid, *rest = line.split(maxsplit=3)
            if sign == "+":
                grace, start_time = rest
                running[int(pid)] = (int(pid), start_time.rstrip("\n"), float(grace))
            else:
                running.pop(int(pid), None)
    return list(running.values())


KEEPER = Keeper()
atexit.register(KEEPER.close)
