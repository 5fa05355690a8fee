"""What the processes of the platform cost, as Linux counts it: CPU seconds and memory, each and with its children."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROLES = {"gunicorn": "web", "manage.py worker": "worker", "manage.py scheduler": "scheduler", "manage.py run": "web"}


@dataclass(frozen=True)
class Process:
    """One process as it stands.

    Attributes:
        cpu: CPU seconds of its own.
        reaped: CPU seconds of its children that have ended; for a worker these are Terraform's, unless a sandbox
            ends them out of sight.
        rss: resident bytes.
    """

    pid: int
    parent: int
    command: str
    cpu: float
    reaped: float
    rss: int

    @property
    def role(self) -> str:
        """Which part of the platform it is."""
        return next((role for words, role in ROLES.items() if words in self.command), "serve")


def tree(root: int) -> list[Process]:
    """A process and everything below it."""
    everything = list(_all())
    found = [process for process in everything if process.pid == root]
    for process in found:  # grows while it is walked
        found += [other for other in everything if other.parent == process.pid]
    return found


def cpu_by_part(roots: dict[str, int]) -> dict[str, float]:
    """CPU seconds so far of each part of the platform and of `terraform`, below these named processes."""
    total: dict[str, float] = {}
    for name, root in roots.items():
        for process in tree(root):
            part = name if name == "simulator" else process.role
            total[part] = total.get(part, 0.0) + process.cpu
            if part == "worker":
                total["terraform"] = total.get("terraform", 0.0) + process.reaped
    return total


def machine_cpu() -> float:
    """CPU seconds of the whole machine so far, whoever used them; on a quiet one nothing of ours can hide from it."""
    user, nice, system, _idle, _waiting, irq, softirq = map(int, Path("/proc/stat").read_text("ascii").split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


@contextmanager
def two_cores() -> Iterator[int]:
    """Keep this process and all it starts on two cores, where there are more; gives how many it has."""
    before = os.sched_getaffinity(0)
    chosen = set(sorted(before)[:2])
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, before)


def _all() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue  # it has ended meanwhile
            fields = stat.rpartition(")")[2].split()
            own, reaped = (int(fields[at]) + int(fields[at + 1]) for at in (11, 13))
            yield Process(
                int(folder.name), int(fields[1]), command, own / TICKS, reaped / TICKS, int(fields[21]) * PAGE
            )
