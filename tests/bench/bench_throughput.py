"""Full cycles a second, form to applied, beside the best loop of bare `init && plan && apply`; both on two cores."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.bench.bare import Bare
from tests.bench.figures import Figure, lower
from tests.bench.processes import cpu_by_part, machine_cpu, two_cores
from tests.bench.stack import FORM, PROCESS_CODE, Stack, a_stack

ROUNDS = 3
CYCLES = 30
BARE_CYCLES = 16
WAYS = (1, 2, 4, 8)
LONGEST_SECONDS = 120
LOOK_SECONDS = 0.02  # looking costs CPU time too, and with so many cycles under way nobody waits for it
WAITING = (
    "SELECT approval.instance_id FROM run JOIN approval ON approval.id = run.approval_id WHERE run.status = 'planned'"
)
APPLIED = "SELECT count(*) FROM run WHERE status = 'applied'"


def measure() -> list[Figure]:
    """All take turns, so that they share the machine's moods; the first of each does not count."""
    with two_cores() as cores, tempfile.TemporaryDirectory() as folder, a_stack() as stack:
        print(f"   on {cores} cores; {ROUNDS} × {CYCLES} cycles of ours, {ROUNDS} × {BARE_CYCLES} of each bare loop")
        bare = Bare(Path(folder))
        bare.cycle(bare.folder())
        stack.agree(stack.planned())  # prepares the module's folder once, as a platform in use has it
        stack.settle()
        ours, loops = Total(), {at_once: Total() for at_once in WAYS}
        for _ in range(ROUNDS):
            with ours.on_the_machine():
                ours.add(CYCLES, *_ours(stack))
            for at_once, total in loops.items():
                with total.on_the_machine():
                    total.add(BARE_CYCLES, *bare.many(BARE_CYCLES, at_once=at_once))
    _explain(ours, loops)
    best = max(loops.values(), key=lambda total: total.rate)
    at_once = next(number for number, total in loops.items() if total is best)
    ratio = ours.rate / best.rate
    beside = f"best bare loop {best.rate:.1f}/s ({at_once} at once)"
    return [
        Figure("full cycles", f"{ours.rate:.1f}/s", beside, ratio, "ratio > 1", ratio > 1),
        lower("CPU of a full cycle", ours.cpu_s, best.cpu_s, unit="ms", beside="that loop", at_most=None),
    ]


class Total:
    """What the rounds of one contender add up to."""

    def __init__(self) -> None:
        self.cycles = 0
        self.seconds = 0.0
        self.machine = 0.0
        self.cpu: Counter[str] = Counter()

    @property
    def rate(self) -> float:
        """Cycles a second."""
        return self.cycles / self.seconds

    def add(self, cycles: int, seconds: float, cpu: Mapping[str, float]) -> None:
        """One more round, with its CPU seconds part by part."""
        self.cycles += cycles
        self.seconds += seconds
        self.cpu.update(cpu)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the whole machine for one cycle, so it means something on a quiet machine only."""
        return self.machine / self.cycles

    @contextmanager
    def on_the_machine(self) -> Iterator[None]:
        """Count what the machine spends in the block."""
        before = machine_cpu()
        yield
        self.machine += machine_cpu() - before


def _ours(stack: Stack) -> tuple[float, dict[str, float]]:
    """The seconds one round takes, and CPU seconds of each part; every form is agreed to as soon as its plan stands."""
    goal = stack.ledger.value(APPLIED) + CYCLES
    before, begun = _cpu(stack), time.perf_counter()
    with ThreadPoolExecutor(4) as people:
        for _ in range(CYCLES):
            people.submit(stack.simulator.submit, PROCESS_CODE, "zhangsan", FORM)
        agreed: set[str] = set()
        while stack.ledger.value(APPLIED) < goal:
            fresh = {row[0] for row in stack.ledger.rows(WAITING)} - agreed
            agreed |= fresh
            for instance_id in fresh:
                people.submit(stack.simulator.agree, instance_id)
            if time.perf_counter() - begun > LONGEST_SECONDS:
                raise RuntimeError(f"not all of {CYCLES} cycles were applied within {LONGEST_SECONDS} s")
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - begun
    stack.settle()
    after = _cpu(stack)
    return seconds, {part: after[part] - before[part] for part in after}


def _cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds so far of each part, and of ourselves who stand for people and for the clock."""
    return {**cpu_by_part(stack.fleet.pids()), "bench": time.process_time()}


def _explain(ours: Total, loops: dict[int, Total]) -> None:
    parts = ", ".join(f"{part} {seconds / ours.cycles * 1000:.0f}" for part, seconds in sorted(ours.cpu.items()))
    print(f"   ours, CPU ms a cycle: {parts}; the whole machine {ours.cpu_s * 1000:.0f}")
    for at_once, total in loops.items():
        own, machine = total.cpu["terraform"] / total.cycles * 1000, total.cpu_s * 1000
        print(f"   bare, {at_once} at once: {total.rate:.1f}/s, CPU ms a cycle: {own:.0f}; machine {machine:.0f}")
