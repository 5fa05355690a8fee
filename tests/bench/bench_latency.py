"""From `agree` to `applied`, beside a bare `init && plan && apply` of the same module: they take turns."""

import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from tests.bench.bare import Bare
from tests.bench.figures import Figure, lower, quantile, said
from tests.bench.processes import cpu_by_part
from tests.bench.stack import a_stack

TURNS = 25
AT_MOST = 0.7


def measure() -> list[Figure]:
    """Median of many, after one of each that does not count."""
    with tempfile.TemporaryDirectory() as folder, a_stack() as stack:
        bare, ours, theirs, cpu = Bare(Path(folder)), [], [], Counter()
        for _ in range(TURNS + 1):
            instance_id = stack.planned()
            before = cpu_by_part(stack.fleet.pids())
            ours.append(stack.agree(instance_id))
            stack.settle()
            cpu.update(cpu_by_part(stack.fleet.pids()))
            cpu.subtract(before)
            theirs.append(bare.cycle(bare.folder()))
    del ours[0], theirs[0]
    parts = ", ".join(f"{part} {cpu[part] / (TURNS + 1) * 1000:.0f}" for part in sorted(cpu))
    for name, took in (("ours", ours), ("bare", theirs)):
        print(f"   {name}: best {said(min(took), 'ms')}, p90 {said(quantile(took, 0.9), 'ms')}")
    print(f"   CPU ms from agree until the notice is sent: {parts}")
    beside = "bare init+plan+apply"
    return [lower("agree → applied", median(ours), median(theirs), unit="ms", beside=beside, at_most=AT_MOST)]
