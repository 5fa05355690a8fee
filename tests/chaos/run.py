"""`make chaos`: everything that proves the promise, part by part; writes docs/figures.md. Hours.

`python -m tests.chaos.run NAME …` runs a choice and keeps the figures of the others, `--page` none and only writes the
page anew. `--minutes 5` runs the share that fits into so many minutes and writes no page. Ends with 1 when a promise
was broken or a part could not run.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config import child_environment
from tests.chaos import figures
from tests.support import ROOT

SHARE_MINUTES = 5.0  # what the shares below are made for
PATIENCE = 2.0  # a slow machine gets so many times the minutes before a part is given up


@dataclass(frozen=True)
class Part:
    """One harness: a module of the tests, its options, and those of the whole.

    `share` are its seconds of work in a share of five minutes, besides what it takes to begin and to end; None for a
    part that belongs to the whole only.
    """

    title: str
    module: str
    options: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    share: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, minutes: float | None, kept: Path | None) -> list[str]:
        """The whole of it, or its share of so many minutes."""
        words = [sys.executable, "-m", self.module, *self.options, *self.whole]
        if minutes is not None and self.share is not None:
            words += ["--seconds", f"{self.share * minutes / SHARE_MINUTES:.0f}"]
        return [*words, "--json", str(kept)] if kept else words


ON_POSTGRESQL = "PostgreSQL and Redis, two web and three worker processes"
POINTS, KILLS, MUTATIONS = "tests.chaos.points", "tests.chaos.kills", "tests.chaos.mutations"
PARTS: dict[str, Part] = {
    "points-sqlite": Part("Crash points on SQLite", POINTS, ("--database", "sqlite"), share=50),
    "points-postgresql": Part("Crash points on PostgreSQL", POINTS, ("--database", "postgresql"), share=30),
    "kills-embedded": Part(
        "Random kills on the embedded default", KILLS, ("--stack", "embedded"), ("--kills", "500"), share=25
    ),
    "kills-servers": Part(
        f"Random kills on {ON_POSTGRESQL}", KILLS, ("--stack", "servers"), ("--kills", "500"), share=25
    ),
    "mutations-sqlite": Part("Mutations of approved plans on SQLite", MUTATIONS, share=40),
    "mutations-postgresql": Part(
        "Mutations of approved plans on PostgreSQL", MUTATIONS, env={"ops_test_database": "postgresql"}
    ),
    "crowd": Part("A crowd of heavy plans", "tests.chaos.crowd"),
    "contained": Part("Attacks and canaries", "tests.chaos.contained"),
    "model": Part("The model", "tests.model.run"),
    "bench": Part("Speed, and what the sandbox costs", "tests.bench.run"),
    "soak": Part("Ten thousand requests", "tests.chaos.soak"),
}
TITLES = {name: part.title for name, part in PARTS.items()}


def run(name: str, minutes: float | None, deadline: float | None) -> bool:
    """Run one part; whether it kept the promise."""
    part = PARTS[name]
    print(f"\n== {part.title}", flush=True)
    kept = figures.KEPT / f"{name}.json" if minutes is None else None
    begun = time.monotonic()
    process = subprocess.Popen(part.command(minutes, kept), cwd=ROOT, env=child_environment(**part.env))
    try:
        code = process.wait(None if deadline is None else max(1.0, deadline - begun))
    except subprocess.TimeoutExpired:
        print(f"   {name} did not end in time", file=sys.stderr)
        process.send_signal(signal.SIGINT)  # so that it puts away what it started
        code = process.wait() or 1
    print(f"   ({time.monotonic() - begun:.0f} s)", flush=True)
    return code == 0


def shares(minutes: float | None) -> list[str]:
    """The parts that belong to the whole, or to the share."""
    return [name for name, part in PARTS.items() if minutes is None or part.share is not None]


def main() -> int:
    """Run what was asked for, and say what was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PARTS)}; all without a name")
    parser.add_argument("--minutes", type=float, help="only the share that takes so long")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is kept")
    chosen = parser.parse_args()
    names = [] if chosen.page else chosen.names or shares(chosen.minutes)
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures.KEPT.mkdir(parents=True, exist_ok=True)
    deadline = None if chosen.minutes is None else time.monotonic() + PATIENCE * 60 * chosen.minutes
    broken = [name for name in names if not run(name, chosen.minutes, deadline)]
    missed = figures.write(TITLES) if chosen.minutes is None else []
    print("\n".join(["", *(f"MISSED {figure}" for figure in missed), *(f"BROKEN {name}" for name in broken)]))
    print(f"{len(names) - len(broken)} of {len(names)} parts kept the promise")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
