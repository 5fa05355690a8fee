"""Change approved runs behind our back, one thing at a time, and see that no apply is ever started.

`python -m tests.chaos.mutations --count 10000`. Each mutation takes one of a few approved runs whose plans the real
Terraform made, changes one thing of it, and lets the worker apply it. Then everything is made as it was.
"""

import argparse
import math
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from opsplatform.core.db import transaction
from opsplatform.runs import service
from opsplatform.runs.models import RunStatus
from tests.chaos.approved import Stage, a_stage
from tests.chaos.figures import keep, listed
from tests.chaos.mutating import file_kinds, module_kinds, row_kinds, state_kinds
from tests.chaos.mutating.target import Target
from tests.support import KIND

KINDS = {**file_kinds.KINDS, **module_kinds.KINDS, **state_kinds.KINDS, **row_kinds.KINDS}
MAY_FOLLOW = {RunStatus.PENDING, RunStatus.ERRORED}  # planned again, or given up


@dataclass
class Report:
    """What came of all mutations.

    Attributes:
        told: of each kind, what the timeline said last.
        broken: what must not have happened, one line each.
    """

    counted: Counter[str] = field(default_factory=Counter)
    told: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    starts: int = 0


def mutate(stage: Stage, kind: str, rng: random.Random) -> int:
    """Change one of the approved runs in this way, whichever it changes anything of; answers its id."""
    for run_id in rng.sample(list(stage.runs.values()), len(stage.runs)):
        with transaction():
            stage.reset(run_id)
            if KINDS[kind](Target(stage, service.get(run_id), rng)):
                return run_id
    raise RuntimeError(f"{kind}: nothing differs, whatever the run")


def check(stage: Stage, kind: str, run_id: int, report: Report) -> None:
    """Let the worker apply a changed run, and note what came of it."""
    report.counted[kind] += 1
    try:
        starts = stage.work()
    except Exception:  # noqa: BLE001 - whatever it is, the run does not say why it stands
        starts = 0
        report.broken.append(f"{kind}: the task failed: {traceback.format_exc().splitlines()[-1]}")
    report.starts += starts
    status, steps = stage.story(run_id)
    report.told[kind] = steps[-1][1] if steps else ""
    if starts:
        report.broken.append(f"{kind}: {starts} apply processes were started")
    elif status not in MAY_FOLLOW or any(step == RunStatus.APPLYING for step, _ in steps):
        report.broken.append(f"{kind}: the run is {status}, after {[step for step, _ in steps]}")
    elif not report.told[kind]:
        report.broken.append(f"{kind}: the run does not say why")


def run(stage: Stage, rng: random.Random, *, count: int, seconds: float = math.inf) -> Report:
    """So many mutations, every kind in turn, while there is time."""
    report, end = Report(), time.monotonic() + seconds
    while sum(report.counted.values()) < count and time.monotonic() < end:
        for kind in KINDS:
            run_id = mutate(stage, kind, rng)
            check(stage, kind, run_id, report)
            if kind in module_kinds.KINDS:
                stage.reset_module(service.get(run_id).module)
    return report


def figures(report: Report, seconds: float) -> list[dict[str, object]]:
    """What docs/figures.md says about it."""
    return listed(
        KIND,
        ("mutations of approved plans", sum(report.counted.values()), "", "≥ 10000"),
        ("kinds of mutation", len(report.counted), "", ""),
        ("apply processes started by mutated plans", report.starts, "", "0"),
        ("mutations that did not end as promised", len(report.broken), "", "0"),
        ("time for all mutations", round(seconds), "s", "≤ 600 s"),
    )


def main() -> int:
    """Mutate, print what came of each kind, and say whether the promise held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="no longer than this")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ops-mutations-") as folder, a_stage(Path(folder)) as stage:
        begun = time.monotonic()
        report = run(stage, random.Random(chosen.seed), count=chosen.count, seconds=chosen.seconds)
        seconds = time.monotonic() - begun
    for kind, count in report.counted.items():
        print(f"{count:6}  {kind:48}  {report.told[kind][:110]}")
    count, kinds = sum(report.counted.values()), len(report.counted)
    print(f"\n{count:,} mutations of {kinds} kinds in {seconds:.0f} s, seed {chosen.seed}")
    print(f"{report.starts} apply processes were started")
    for line, times in Counter(report.broken).most_common(20):
        print(f"BROKEN {times} × {line}")
    keep(chosen.json, figures(report, seconds))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
