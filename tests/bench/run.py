"""`make bench`: every figure beside its floor or peer of the same run; `tests/bench/run.py NAME …` runs a choice.

Nothing is asserted: a target that does not hold is printed as such. The exit code is 1 only when one cannot run.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.figures import Figure, table

STACK = "SQLite + embedded queue"
NAMES = ("latency", "throughput", "callback", "rpc", "inventory", "idle", "sandbox", "demo")


def main() -> int:
    """Run what was asked for, everything otherwise, and print all figures in one table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all without a name")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    names = chosen.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    begun, figures, broken = time.monotonic(), [], []
    for name in names:
        try:
            figures += run(name)
        except Exception:  # noqa: BLE001 - one that cannot run must not hide the others
            traceback.print_exc()
            broken.append(name)
    print("\n".join(["", *table(figures), "", f"in {time.monotonic() - begun:.0f} s"]))
    if chosen.json:
        kept = [figure.kept(STACK) for figure in figures]
        chosen.json.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
    if broken:
        print(f"could not run: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def run(name: str) -> list[Figure]:
    """Run one benchmark and print its figures."""
    begun = time.monotonic()
    print(f"\n== {name}", flush=True)
    figures = importlib.import_module(f"tests.bench.bench_{name}").measure()
    for figure in figures:
        print(f"   {figure}")
    print(f"   ({time.monotonic() - begun:.0f} s)", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
