"""Who may start on this host: a ledger of the memory and cores its running Terraforms are expected to take.

The ledger is one small file that every worker of the host shares under a lock. What a dead process had reserved is
struck out by the next that needs the room.

A quarter is kept for quick steps, so that a small run starts at once however many big ones there are. Who comes first
and finds no room keeps the room that others give back: nobody behind it may take more than the quick quarter.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from opsplatform.adapters.process_limits import MB
from opsplatform.adapters.process_table import is_running, start_time_of

CONTAINER = Path("/sys/fs/cgroup/memory.max")
SHARE_OF_MEMORY = 0.7  # of the host's, when nothing else is set
CORES_PROMISED = 3.0  # for each there is: Terraform mostly waits
KEPT_FOR_QUICK = 0.25
QUICK_SECONDS, QUICK_MB = 30.0, 256
LEAST_LEFT = 0.05  # of the host's memory, whatever the ledger says
MEMORY, CORES = "memory", "cores"


@dataclass(frozen=True)
class Need:
    """What a step is expected to take: memory in MB, cores it keeps busy, and how long it lasts in seconds."""

    memory_mb: float
    cores: float
    seconds: float

    @property
    def quick(self) -> bool:
        """Whether it may use what is kept for quick steps."""
        return self.seconds <= QUICK_SECONDS and self.memory_mb <= QUICK_MB


@dataclass(frozen=True)
class Room:
    """What this host gives to Terraform altogether."""

    memory_mb: float
    cores: float

    @classmethod
    def of_host(cls, memory_mb: int | None = None) -> "Room":
        """As set, or by the size of the host or of the container this is."""
        return cls(memory_mb or _memory_mb() * SHARE_OF_MEMORY, CORES_PROMISED * len(os.sched_getaffinity(0)))


@dataclass
class Place:
    """Room that was taken; it is given back once, whatever happens."""

    ledger: "Ledger"
    key: str
    others_wait: bool  # somebody was refused before

    def give_back(self) -> bool:
        """Free the room; True when somebody was refused meanwhile and should be told."""
        return self.ledger.give_back(self.key)


@dataclass
class Ledger:
    """The room of this host and who has taken of it."""

    path: Path
    room: Room
    me: str = field(default_factory=lambda: start_time_of(os.getpid()))

    def take(self, key: str, need: Need, *, behind: bool) -> Place | str:
        """Room for `need` under a name of its own, or what there is too little of: `memory` or `cores`.

        `behind` says that somebody who comes first was refused just now.
        """
        with self._open() as book:
            lacking = self._lacking(book, need, behind=behind)
            if lacking and self._strike_out_the_dead(book):
                lacking = self._lacking(book, need, behind=behind)
            if lacking:
                book["hungry"] = True
                return lacking
            book["taken"][key] = {**asdict(need), "quick": need.quick, "pid": os.getpid(), "start": self.me}
            return Place(self, key, others_wait=bool(book["hungry"]))

    def give_back(self, key: str) -> bool:
        """Free what was taken under this name."""
        with self._open() as book:
            book["taken"].pop(key, None)
            hungry = bool(book["hungry"])
            book["hungry"] = False
        return hungry

    def _lacking(self, book: dict[str, Any], need: Need, *, behind: bool) -> str | None:
        """What there is too little of; the first quick one and the first big one are never refused."""
        taken = list(book["taken"].values())
        quick = [one for one in taken if one["quick"]]
        if need.quick and not (quick and _fits(self._part(KEPT_FOR_QUICK), quick, need)):
            return None
        if behind:
            return MEMORY
        if need.quick:
            return _fits(self.room, taken, need)
        big = [one for one in taken if not one["quick"]]
        if not big:
            return None
        lacking = _fits(self._part(1 - KEPT_FOR_QUICK), big, need) or _fits(self.room, taken, need)
        return lacking or (MEMORY if _left_mb() < need.memory_mb + LEAST_LEFT * _memory_mb() else None)

    def _part(self, share: float) -> Room:
        return Room(self.room.memory_mb * share, self.room.cores * share)

    def _strike_out_the_dead(self, book: dict[str, Any]) -> bool:
        dead = [key for key, one in book["taken"].items() if not is_running(one["pid"], one["start"])]
        for key in dead:
            del book["taken"][key]
        return bool(dead)

    @contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        """The book, kept from others until the block ends; what the block changes is written."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            book = _read(before)
            yield book
            after = json.dumps(book).encode()
            if after != before:
                os.pwrite(descriptor, after, 0)
                os.ftruncate(descriptor, len(after))
        finally:
            os.close(descriptor)


def _read(content: bytes) -> dict[str, Any]:
    """The book; one that was torn when the host went down begins anew, for nobody it named lives."""
    try:
        book = json.loads(content)
    except ValueError:
        book = None
    return book if isinstance(book, dict) and {"taken", "hungry"} <= book.keys() else {"taken": {}, "hungry": False}


def _fits(room: Room, taken: list[dict[str, Any]], need: Need) -> str | None:
    if sum(one["memory_mb"] for one in taken) + need.memory_mb > room.memory_mb:
        return MEMORY
    return CORES if sum(one["cores"] for one in taken) + need.cores > room.cores else None


def _memory_mb() -> float:
    """Memory of the host, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MB
    try:
        limit = CONTAINER.read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit) / MB) if limit.isdigit() else total


def _left_mb() -> float:
    """Memory that can be had now without swapping."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))
