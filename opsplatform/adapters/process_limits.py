"""What a program may use: limits the kernel holds it to, and a meter for those that count all of its processes.

The kernel counts memory and files per process, so a program could pass a limit by being many. The meter adds up what
belongs to it and says when that is too much.
"""

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from opsplatform.adapters.process_tree import first_inside, status_texts

LOOK_SECONDS = 0.2
MOST_FILES = 50_000
FAR_BEYOND = 1.5
MB = 1 << 20
COUNTED = ("RssAnon:", "RssShmem:")


@dataclass(frozen=True)
class Limits:
    """Bounds of one command.

    Attributes:
        cpu_seconds: of each of its processes.
        memory_bytes: private memory of each process, and of all together.
        disk_bytes: the size of a file, and of the working folder as a whole.
        processes: processes and threads at a time.
    """

    cpu_seconds: int = 3600
    memory_bytes: int = 2048 * MB
    disk_bytes: int = 1024 * MB
    processes: int = 512
    open_files: int = 4096

    def prefix(self, *, own_user: bool) -> list[str]:
        """What to put before a command so that the kernel enforces these limits; nothing where there is no prlimit.

        The kernel counts processes per user, so that number is set only for a program with a user of its own.
        """
        program = _prlimit()
        if program is None:
            return []
        bounds = {
            "cpu": self.cpu_seconds,
            "data": self.memory_bytes,
            "fsize": self.disk_bytes,
            "nofile": self.open_files,
            "core": 0,
        }
        if own_user:
            bounds["nproc"] = self.processes
        return [program, *(f"--{name}={value}" for name, value in bounds.items()), "--"]


@dataclass(frozen=True)
class Used:
    """What one command took.

    Attributes:
        memory_bytes: the most that all its processes were seen with; of one that ended before the first look, what the
            kernel says of its largest process, which counts what it was forked from.
        cpu_seconds: of all its processes.
        seconds: from its start to its end.
    """

    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0

    def as_seen(self, memory_bytes: int, seconds: float) -> "Used":
        """The same with how long it lasted, and with the memory it was seen with, if it was looked at."""
        return replace(self, memory_bytes=memory_bytes or self.memory_bytes, seconds=seconds)


NOTHING = Used()


@dataclass
class Meter:
    """Watches what all processes of one program use together, and what lies in its folders."""

    pid: int
    folders: Sequence[Path]
    limits: Limits
    peak_bytes: int = 0
    far: bool = False  # so far beyond that it must be killed and not asked
    _first: int | None = None
    _searches: int = 2
    _next_at: float = field(default_factory=lambda: time.monotonic() + LOOK_SECONDS)

    def excess(self) -> str:
        """What it has too much of, to be read after “it”; empty while all is well. Looks every 200 ms."""
        if time.monotonic() < self._next_at:
            return ""
        self._next_at = time.monotonic() + LOOK_SECONDS
        if self._first is None and self._searches:
            self._searches -= 1  # it takes long where there are many processes, and the sandbox is there by now
            self._first = first_inside(self.pid)
        texts = status_texts(self.pid, self._first)
        most_bytes = int(self.limits.disk_bytes * FAR_BEYOND)
        disk, files = _weigh(self.folders, most_bytes)
        memory = sum(map(_memory, texts))
        self.peak_bytes = max(self.peak_bytes, memory)
        return (
            self._over(memory, self.limits.memory_bytes, "used more memory than {} MB", MB)
            or self._over(disk, self.limits.disk_bytes, "wrote more than {} MB into its folder", MB)
            or self._over(files, MOST_FILES, "made more than {} files", 1)
            or self._over(sum(map(_threads, texts)), self.limits.processes, "ran more than {} processes", 1)
        )

    def _over(self, used: int, limit: int, text: str, unit: int) -> str:
        if used <= limit:
            return ""
        self.far = used >= limit * FAR_BEYOND
        return text.format(limit // unit)


def _memory(status: str) -> int:
    """Private memory in bytes; what is only mapped from files can be dropped by the kernel at any time."""
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(COUNTED))


def _threads(status: str) -> int:
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))


def _weigh(folders: Iterable[Path], most: int) -> tuple[int, int]:
    """Bytes on the disk and number of files below, counted only as far as matters."""
    total = count = 0
    waiting = [str(folder) for folder in folders]
    while waiting and total <= most and count <= MOST_FILES * FAR_BEYOND:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:  # it goes on working there: what was listed may be gone
            continue
    return total, count


@cache
def _prlimit() -> str | None:
    return shutil.which("prlimit", path="/usr/bin:/bin:/usr/local/bin")
