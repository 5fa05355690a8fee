"""Processes that may be killed at any moment, and a supervisor that starts them again, as systemd would."""

import datetime as dt
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from opsplatform.adapters.fleet import Fleet
from opsplatform.core.errors import UpstreamError

AGAIN_SECONDS = 0.3  # until what ended by itself is started once more


@dataclass(frozen=True)
class Part:
    """One process of the platform, or one it leans on; `answers` says whether it can be used."""

    command: Sequence[str]
    env: Mapping[str, str]
    answers: Callable[[], bool] | None = None


@dataclass
class Outage:
    """From when until when a part was not at work; it lasts while `until` is None."""

    name: str
    since: float
    until: float | None = None


@dataclass
class Supervisor:
    """Keeps every part running; only one thread uses it."""

    folder: Path
    logs: Path
    outages: list[Outage] = field(default_factory=list)
    ended_alone: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.folder)
        self._parts: dict[str, Part] = {}
        self._due: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._at_work: dict[str, float] = {}
        self.start_seconds: dict[str, float] = {}
        self.starts: list[float] = []
        self.logs.mkdir(parents=True, exist_ok=True)
        self._diary = (self.logs / "supervisor.log").open("a", encoding="utf-8", buffering=1)

    def start(self, name: str, part: Part) -> None:
        """Start it, and see to it from now on."""
        self._parts[name] = part
        self._run(name)

    def pid(self, name: str) -> int | None:
        """Its process id; None while it does not run."""
        return None if name in self._due or self._has_ended(name) else self.fleet.pids()[name]

    def kill(self, name: str, *, group: bool, restart_after: float) -> int:
        """kill -9 a running part, alone or with the processes of its group; answers its id."""
        pid = self.fleet.pids()[name]
        self._go_out(name)
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)
        self.fleet.wait(name, 10)
        self._at_work.pop(name, None)
        self.note(f"killed {name} {pid}")
        self._due[name] = time.monotonic() + restart_after
        return pid

    def look(self) -> None:
        """Start what is due, and what ended by itself; note what answers again."""
        for name in self._parts:
            if name not in self._due and self._has_ended(name):
                self.ended_alone[name] += 1
                self._at_work.pop(name, None)
                self._go_out(name)
                self.note(f"{name} ended by itself")
                self._due[name] = time.monotonic() + AGAIN_SECONDS
            if self._due.get(name, float("inf")) <= time.monotonic():
                del self._due[name]
                self._run(name)
            if name not in self._at_work and self.is_ready(name):
                self._at_work[name] = time.monotonic()
                self.start_seconds[name] = self._at_work[name] - self._begun[name]
                self.starts.append(self.start_seconds[name])
                self.note(f"{name} is at work")
        for outage in self.outages:
            if outage.until is None and outage.name in self._at_work:
                outage.until = time.time()

    def is_ready(self, name: str) -> bool:
        """Whether it has done more than start."""
        answers, pid = self._parts[name].answers, self.pid(name)
        return pid is not None and (answers() if answers else _is_connected(pid))

    def seconds_at_work(self, name: str) -> float:
        """For how long it has done more than start; 0 while it has not."""
        return time.monotonic() - self._at_work[name] if name in self._at_work and self.pid(name) else 0.0

    def names(self) -> list[str]:
        """Every part."""
        return list(self._parts)

    def note(self, sentence: str) -> None:
        """Write it into the diary, with the time."""
        self._diary.write(f"{dt.datetime.now(dt.UTC):%H:%M:%S.%f} {sentence}\n")

    def stop(self) -> None:
        """End every part."""
        self.fleet.stop()
        self._diary.close()

    def _go_out(self, name: str) -> None:
        """Note that it is not at work, unless that is noted already."""
        if not any(outage.name == name and outage.until is None for outage in self.outages):
            self.outages.append(Outage(name, time.time()))

    def _has_ended(self, name: str) -> bool:
        try:
            self.fleet.wait(name, 0)
        except UpstreamError:
            return False
        return True

    def _run(self, name: str) -> None:
        """Start it with its output in a file of its own; the shell makes way for the process.

        What an earlier one left in its group ends first, as it does with systemd.
        """
        with suppress(KeyError, ProcessLookupError):
            os.killpg(self.fleet.pids()[name], signal.SIGKILL)
        part = self._parts[name]
        said = ["sh", "-c", 'exec "$@" >>"$0" 2>&1', str(self.logs / f"{name}.log")]
        self.fleet.start(name, [*said, *part.command], part.env)
        self._begun[name] = time.monotonic()
        self.note(f"started {name} {self.fleet.pids()[name]}")


def _is_connected(pid: int) -> bool:
    """Whether a process has opened a socket or our database, which it does when it has read its code."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:") or target.endswith("opsplatform.db"):
                    return True
    return False
