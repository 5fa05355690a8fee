"""Kill -9 web, workers, scheduler, broker, database and Terraform at random while approvals flow; then judge.

    python -m tests.chaos.kills --stack embedded|servers --kills N [--seconds S] [--seed K] [--json FILE]

Prints what was measured; ends with 1 and keeps the folder of logs when a promise was broken.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.figures import quantile
from tests.chaos.killing.judge import Judge, last_hindrance
from tests.chaos.killing.killer import Killer
from tests.chaos.killing.people import People
from tests.chaos.killing.servers import missing
from tests.chaos.killing.stack import SHAPES, Shape, Stack, a_stack, processes_of

SETTLE_SECONDS = 120.0
TARGET_SECONDS = 10.0


@dataclass
class Report:
    """What came of it."""

    shape: Shape
    folder: Path
    kills: Counter[str] = field(default_factory=Counter)
    approvals: int = 0
    double_applies: int = 0
    put_aside: int = 0
    given_up: int = 0
    starts: list[float] = field(default_factory=list)  # seconds until a process that was started is at work
    settled: list[float] = field(default_factory=list)  # seconds since the last thing that hindered it was over
    altogether: list[float] = field(default_factory=list)  # seconds since the kill
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figures(self) -> list[dict[str, Any]]:
        """Every figure with its target."""
        rows = [
            ("random kill -9", self.kills.total(), "", "≥ 500"),
            ("approvals meanwhile", self.approvals, "", ""),
            ("promises broken", len(self.broken), "", "0"),
            ("double applies", self.double_applies, "", "0"),
            ("runs that lost their worker", len(self.altogether), "", ""),
            ("applies that were broken off because the database was away", self.given_up, "", ""),
            ("workspaces put aside for a person", self.put_aside, "", ""),
        ]
        for name, times, target in (
            ("start of a process", self.starts, ""),
            ("settle time", self.settled, f"≤ {TARGET_SECONDS:g} s"),
            ("settle time with all that was killed meanwhile", self.altogether, ""),
        ):
            if times:
                rows += [
                    (f"{name}, p50", round(quantile(times, 0.5), 2), "s", ""),
                    (f"{name}, p99", round(quantile(times, 0.99), 2), "s", target),
                    (f"{name}, longest", round(max(times), 2), "s", ""),
                ]
        names = ("name", "value", "unit", "target")
        return [{**dict(zip(names, row, strict=True)), "floor_or_peer": "", "stack": self.shape.title} for row in rows]


def run(shape: Shape, *, kills: int, seconds: float, seed: int) -> Report:
    """The whole story once."""
    with a_stack(shape) as stack:
        report = Report(shape, stack.folder)
        killer, people = Killer(stack, seed), People(stack, seed)
        people.start()
        killer.kill(kills, seconds)
        if not killer.let_all_come_back(SETTLE_SECONDS):
            report.broken.append("not every process came back")
        people.leave()
        _settle(stack, killer, report)
        _judge(stack, killer, people, report)
    left = processes_of(report.folder)
    report.broken += [f"process {pid} outlived everything: {command}" for pid, command in left.items()]
    return report


def _settle(stack: Stack, killer: Killer, report: Report) -> None:
    """Wait until nothing is under way any more."""
    end = time.monotonic() + SETTLE_SECONDS
    while left := stack.unfinished():
        if time.monotonic() > end:
            report.broken += [f"{kind} not settled: {items[:20]}" for kind, items in left.items()]
            return
        killer.let_all_come_back(1.0)


def _judge(stack: Stack, killer: Killer, people: People, report: Report) -> None:
    judge = Judge(stack, people.wishes)
    report.kills, report.approvals = killer.kills, len(people.wishes)
    report.broken += judge.broken()
    report.double_applies, report.put_aside = judge.double_applies(), judge.put_aside()
    report.given_up = judge.given_up(killer.lost)
    times = [(lost, judge.settled_after(lost)) for lost in killer.lost]
    report.broken += [f"run {lost.run_id} was never taken over after {lost.at}" for lost, took in times if took is None]
    known = [(lost, took) for lost, took in times if took is not None]
    report.starts = stack.supervisor.starts
    report.altogether = [took for _, took in known]
    report.settled = [took - last_hindrance(lost, took, stack.shape, stack.supervisor.outages) for lost, took in known]
    left = [command for command in processes_of(stack.folder).values() if "terraform" in command]
    report.broken += [f"still runs although every run has ended: {command}" for command in left]
    slowest = [
        (lost.run_id, lost.status, stamp(lost.at), round(took, 1))
        for lost, took in sorted(known, key=lambda pair: -pair[1])[:5]
    ]
    report.notes += [
        f"kills: {dict(killer.kills)}",
        f"runs: {dict(judge.endings())}",
        f"lost their worker: {dict(Counter(lost.status for lost in killer.lost))}",
        f"the slowest to settle: {slowest}; load of the machine: {os.getloadavg()[2]:.1f}",
        f"ended by themselves: {dict(stack.supervisor.ended_alone)}",
        f"the API answered: {dict(people.answers)}",
    ]


def stamp(at: float) -> str:
    """A time of day as the logs have it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%H:%M:%S}"


def show(report: Report) -> None:
    """Print it."""
    for figure in report.figures():
        target = figure["target"] and f"  (target {figure['target']})"
        print(f"{figure['name']}: {figure['value']} {figure['unit']}{target}")
    for line in report.notes:
        print(f"  {line}")
    for sentence in report.broken:
        print(f"BROKEN: {sentence}")


def main() -> int:
    """Run it as the command line says; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", choices=SHAPES, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3600, help="kill no longer than this")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--keep", action="store_true", help="keep the folder of logs in any case")
    chosen = parser.parse_args()
    shape = SHAPES[chosen.stack]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that everything is stopped
    if shape.own_servers and (why := missing()):
        sys.exit(f"cannot run: {why}")
    report = run(shape, kills=chosen.kills, seconds=chosen.seconds, seed=chosen.seed)
    show(report)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.figures(), ensure_ascii=False, indent=1), encoding="utf-8")
    if report.broken or chosen.keep:
        print(f"logs and data are in {report.folder}")
    else:
        shutil.rmtree(report.folder)
    return int(bool(report.broken))


if __name__ == "__main__":
    sys.exit(main())
