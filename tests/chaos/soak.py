"""Thousands of requests of the small module on two cores, with everything switched on: fast, faultless, and no leak.

`python -m tests.chaos.soak --requests 10000`. Rounds of ours and of the best bare loop take turns, so that both share
the machine's moods; after each round the memory of every process of the platform is read.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opsplatform.adapters.sandbox import Sandbox
from tests.bench.bare import Bare
from tests.bench.bench_throughput import APPLIED, WAITING, WAYS, Total
from tests.bench.processes import tree, two_cores
from tests.bench.stack import FORM, PROCESS_CODE, Stack, a_stack, wait_for
from tests.chaos.figures import keep, listed

ROUND = 100
BARE_CYCLES = 20
PEOPLE = 4
BUSY = 24  # requests that are under way at a time: enough that no worker waits
LONGEST_SECONDS = 600.0
MB = 1024 * 1024
MOST_MB_PER_1000 = 1.0
FAILURES = "requests that did not end applied"
STACK = "SQLite + embedded queue"
ENDED = "SELECT count(*) FROM run WHERE finished_at IS NOT NULL"
STARTED = "SELECT count(*) FROM run"


class Soak:
    """One platform under load."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.requests = 0
        self.seconds = 0.0
        self.memory: dict[tuple[str, int], list[tuple[int, float]]] = {}  # MB after so many requests, by process

    def round(self, number: int) -> None:
        """So many requests, from the form to the end of their run; each is agreed to as soon as its plan stands."""
        ledger, simulator = self._stack.ledger, self._stack.simulator
        goal, begun = ledger.value(ENDED) + number, time.perf_counter()
        submitted, agreed = ledger.value(STARTED), set[str]()
        last = submitted + number
        with ThreadPoolExecutor(PEOPLE) as people:
            while (ended := ledger.value(ENDED)) < goal:
                while submitted < min(last, ended + BUSY):
                    people.submit(simulator.submit, PROCESS_CODE, "zhangsan", FORM)
                    submitted += 1
                for instance_id in {row[0] for row in ledger.rows(WAITING)} - agreed:
                    agreed.add(instance_id)
                    people.submit(simulator.agree, instance_id)
                if time.perf_counter() - begun > LONGEST_SECONDS:
                    raise RuntimeError(f"not all of {number} requests came to an end within {LONGEST_SECONDS:g} s")
                time.sleep(0.01)
        self.seconds += time.perf_counter() - begun
        self.requests += number
        wait_for(lambda: ledger.value("SELECT count(*) FROM notice WHERE status = 'waiting'") == 0, "the notices")

    def look(self) -> None:
        """Note the memory of each process."""
        for process in tree(self._stack.fleet.pids()["platform"]):
            if process.role != "serve" or "manage.py" in process.command:
                seen = self.memory.setdefault((process.role, process.pid), [])
                seen.append((self.requests, process.rss / MB))

    def sizes(self) -> str:
        """The memory of each process as it was seen last."""
        return ", ".join(f"{role} {points[-1][1]:.1f}" for (role, _), points in sorted(self.memory.items()))

    @property
    def failures(self) -> int:
        """Requests that did not end applied."""
        return self.requests - (self._stack.ledger.value(APPLIED) - 1)  # the first one only warmed up


def slope(points: Sequence[tuple[int, float]]) -> float:
    """MB per 1,000 requests over the later three quarters, when every pool and cache is filled."""
    later = points[len(points) // 4 :]
    if len(later) < 2:
        return 0.0
    return statistics.linear_regression([at for at, _ in later], [mb for _, mb in later]).slope * 1000


def measure(requests: int) -> list[dict[str, object]]:
    """Take turns until all requests are made."""
    with two_cores() as cores, tempfile.TemporaryDirectory() as folder, a_stack() as stack:
        contained, sandbox = Sandbox("auto").report()
        print(f"{requests} requests on {cores} cores; the sandbox is {sandbox}", flush=True)
        bare, soak = Bare(Path(folder)), Soak(stack)
        bare.cycle(bare.folder())
        stack.agree(stack.planned())
        stack.settle()
        loops = [(way, Total()) for way in WAYS]
        rounds = 0
        while soak.requests < requests:
            soak.round(min(ROUND, requests - soak.requests))
            soak.look()
            way, loop = loops[rounds % len(loops)]
            loop.add(BARE_CYCLES, *bare.many(BARE_CYCLES, at_once=way))
            rounds += 1
            if rounds % 2 == 0:
                print(
                    f"  {soak.requests} requests, {soak.requests / soak.seconds:.2f}/s, MB: {soak.sizes()}", flush=True
                )
        best = max(loop.rate for _, loop in loops if loop.cycles)
        return figures(soak, best, contained=contained)


def figures(soak: Soak, best: float, *, contained: bool) -> list[dict[str, object]]:
    """Throughput, failures, and how memory grew."""
    rate = soak.requests / soak.seconds
    return listed(
        STACK,
        ("requests, from the form to the inventory", soak.requests, "", "≥ 10000"),
        ("full cycles a second", round(rate, 2), "/s", "", f"best bare loop {best:.2f}/s"),
        ("ratio to the best bare loop", round(rate / best, 2), "", "≥ 1.0"),
        (FAILURES, soak.failures, "", "0"),
        ("sandbox in force", int(contained), "", "1"),
        *(_growth(role, points) for (role, _), points in sorted(soak.memory.items())),
    )


def _growth(role: str, points: Sequence[tuple[int, float]]) -> tuple[object, ...]:
    between = f"{points[0][1]:.0f} MB after {points[0][0]}, {points[-1][1]:.0f} MB after {points[-1][0]}"
    grown = round(slope(points), 2)
    return (f"growth of a {role} process", grown, "MB per 1,000 requests", f"≤ {MOST_MB_PER_1000}", between)


def main() -> int:
    """Soak, print the figures; 1 when a request failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = measure(chosen.requests)
    for figure in found:
        print(f"{figure['name']}: {figure['value']} {figure['unit']}  {figure['floor_or_peer']}")
    keep(chosen.json, found)
    return int(any(each["value"] for each in found if each["name"] == FAILURES))


if __name__ == "__main__":
    sys.exit(main())
