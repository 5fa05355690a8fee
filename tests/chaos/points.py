"""Kill the platform before and after every commit, outside call, message, Terraform and step in the files, and recover.

    python -m tests.chaos.points --database sqlite|postgresql --every K --seconds S --json FILE

Every story is played once alone to find its passages, and then once more for each of them: the process dies there, is
started again, and everything must end as it would have without. They are tried in an order of chance that is always
the same, so that a share of them is a fair one. The exit code is 1 when a promise was broken.
"""

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import quantile
from tests.chaos.crashing.ground import grounds
from tests.chaos.crashing.lives import Clean, Verdict, try_point
from tests.chaos.crashing.stories import STORIES
from tests.chaos.figures import keep, listed

FEWEST = 300


@dataclass(frozen=True)
class Choice:
    """Which points are tried: every K-th, of these stories or of all, with these words in their names, for how long."""

    every: int = 1
    stories: Sequence[str] = ()
    only: str = ""
    seconds: float = math.inf


def sweep(kind: str, choice: Choice) -> list[Verdict]:
    """Try the points that were chosen."""
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="ops-points-") as name, grounds(Path(name), kind) as ground:
        cleans = [Clean(ground, story) for story in STORIES if not choice.stories or story.name in choice.stories]
        points = [(clean, point) for clean in cleans for point in clean.points if choice.only in point.passage]
        random.Random(0).shuffle(points)
        until = time.monotonic() + choice.seconds
        print(f"{kind}: {len(points)} points, of which every {choice.every}. is tried", flush=True)
        for number, (clean, point) in enumerate(points[:: choice.every], 1):
            if time.monotonic() > until:
                break
            verdicts.append(try_point(ground, point, clean.ending, f"p{number}"))
            for fault in verdicts[-1].broken:
                print(f"BROKEN at {point}: {fault}", flush=True)
            if number % 25 == 0:
                print(f"  {number} were tried", flush=True)
    return verdicts


def figures(verdicts: Sequence[Verdict], stack: str) -> list[dict[str, object]]:
    """What was found, to be written down."""
    died = [each for each in verdicts if each.died]
    doubles = sum("done twice" in fault for each in died for fault in each.broken)
    median = round(quantile([each.seconds for each in died], 0.5), 2) if died else 0
    lost = sum("approval" in fault or "come to an end" in fault for each in died for fault in each.broken)
    return listed(
        stack,
        ("crash points tried", len(died), "points", f"≥ {FEWEST}"),
        ("crash points whose end differs from the clean one", sum(bool(each.broken) for each in died), "points", "0"),
        ("applies done twice after a crash", doubles, "", "0"),
        ("approvals lost by a crash", lost, "", "0"),
        ("crashes that interrupted an apply", sum(each.interrupted for each in died), "points", ""),
        ("comments written twice after a crash", sum(each.comments_twice for each in died), "", ""),
        ("crash and recovery, median", median, "s", ""),
    )


def main() -> int:
    """Sweep, print, and say whether every promise held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--story", action="append", default=[], choices=[story.name for story in STORIES])
    parser.add_argument("--only", default="", help="only passages in whose name this stands")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no other point after that")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that databases and servers are put away
    begun = time.monotonic()
    verdicts = sweep(chosen.database, Choice(chosen.every, chosen.story, chosen.only, chosen.seconds))
    died = [each for each in verdicts if each.died]
    for kind, number in sorted(Counter(each.point.kind for each in died).items()):
        print(f"  {number:5} {kind}")
    print(f"  {len(verdicts) - len(died):5} not passed again in the second run of a story")
    rows = figures(verdicts, f"{chosen.database} + embedded queue")
    for row in rows:
        print(f"{row['name']}: {row['value']} {row['unit']}")
    print(f"in {time.monotonic() - begun:.0f} s")
    keep(chosen.json, rows)
    return 1 if any(each.broken for each in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
