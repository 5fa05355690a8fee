"""Kill one process after the other, at random, and remember what each worker had in its hands."""

import os
import platform
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsplatform.adapters.process_table import is_running
from tests.chaos.killing.stack import Stack

TICK = 0.05
TERRAFORM = "terraform"
TERRAFORM_SHARE = 0.08
EARLY_SHARE = 0.1
LONGEST_LIFE = 4.0  # seconds at work until a process may be killed at the latest; more where starting takes long
PAUSES = (1.0, 1.5)
LONGEST_ABSENCE = 2.0


@dataclass(frozen=True)
class Lost:
    """A run that was in work under a worker when that was killed."""

    run_id: int
    status: str
    at: float


class Killer:
    """Kills and looks after the supervisor, in the thread of its caller."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.kills: Counter[str] = Counter()
        self.lost: list[Lost] = []
        self._stack = stack
        self._random = random.Random(seed)
        self._unasked: list[tuple[str, float]] = []
        self._ripe: dict[str, float] = {}
        self._targets = [*stack.shape.webs, *stack.shape.workers, "scheduler"]
        self._targets += ["redis", "database"] if stack.shape.own_servers else []

    def kill(self, wanted: int, seconds: float) -> None:
        """Make so many kills, or as many as there is time for."""
        end = time.monotonic() + seconds
        while self.kills.total() < wanted and time.monotonic() < end:
            self._wait(self._random.uniform(*PAUSES))
            self._kill_one()

    def let_all_come_back(self, seconds: float) -> bool:
        """Kill nothing any more; whether everything is there again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wait(TICK)
            if self._stack.is_ready() and not self._unasked:
                return True
        return False

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._stack.supervisor.look()
            self._ask_what_was_lost()
            time.sleep(TICK)

    def _kill_one(self) -> None:
        if self._random.random() < TERRAFORM_SHARE:
            self.kills[TERRAFORM] += self._kill_terraform()
            return
        names = [name for name in self._targets if self._is_ripe(name)]
        if not names:
            return
        rarely = [1 / (1 + self.kills[name]) ** 2 for name in names]  # what starts fast would die most often otherwise
        target = self._random.choices(names, weights=rarely)[0]
        absence = self._random.choice([0.0, self._random.uniform(0, LONGEST_ABSENCE)])
        at = time.time()
        pid = self._stack.supervisor.kill(target, group=self._random.random() < 0.5, restart_after=absence)
        self.kills[target] += 1
        self._ripe.pop(target)
        if target in self._stack.shape.workers:
            self._unasked.append((f"{platform.node()[:60]}:{pid}", at))
            self._ask_what_was_lost()

    def _is_ripe(self, name: str) -> bool:
        """Whether it has worked for long enough: some die while they start, most have done something before."""
        supervisor = self._stack.supervisor
        if name not in self._ripe:
            early, start = self._random.random() < EARLY_SHARE, supervisor.start_seconds.get(name, 0.0)
            self._ripe[name] = 0.0 if early else self._random.uniform(0.1, max(LONGEST_LIFE, 2 * start))
        return supervisor.pid(name) is not None and supervisor.seconds_at_work(name) >= self._ripe[name]

    def _kill_terraform(self) -> bool:
        """Kill one that works, with everything in its group; False when none does."""
        running = [pid for pid, start in noted_processes(self._stack.data) if is_running(pid, start)]
        with suppress(IndexError, ProcessLookupError):
            pid = self._random.choice(running)
            os.killpg(pid, signal.SIGKILL)
            self._stack.supervisor.note(f"killed terraform {pid}")
            return True
        return False

    def _ask_what_was_lost(self) -> None:
        """What a worker held stands in the database, which may be gone itself: then ask again later."""
        for owner, at in list(self._unasked):
            held = self._stack.records.held_by(owner)
            if held is not None:
                self.lost += [Lost(run_id, status, at) for run_id, status in held.items()]
                self._unasked.remove((owner, at))


def noted_processes(data: Path) -> list[tuple[int, str]]:
    """Terraform processes that the runs' folders name, dead or alive: id and start time."""
    found = []
    for note in (data / "runs").glob("*/process"):
        with suppress(OSError, ValueError):
            pid, start_time = note.read_text(encoding="ascii").split(maxsplit=1)
            found.append((int(pid), start_time))
    return found
