"""Explore the whole: `python -m tests.model.run`. Prints for each world its states, transitions, depth and time.

Worlds are explored two at a time, each in a process of its own. `complete` says that every state that can be reached
was looked at; where it is not, everything up to the depth was.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.figures import keep, listed
from tests.model import beginnings, notices, protocol
from tests.model.checking import Explorer, Found
from tests.model.promises import PROMISES
from tests.model.world import Rules, World

PROCESSES = 2
MOST_STATES = 1_000_000


@dataclass(frozen=True)
class Place:
    """Something to explore: rules, and the state it begins from."""

    name: str
    rules: Rules
    begin: Callable[[Rules], World] = beginnings.nothing
    most_states: int = 10_000_000

    def explore(self) -> Explorer:
        """Look at all of it, up to its limit."""
        return protocol.explore(self.rules, start=self.begin(self.rules), most_states=self.most_states)


CALM = Rules(replays=False, deleting=False, lagging=False, tampering=False, offers=(True,))
SMALL = (
    Place("everything once, one worker", replace(CALM, workers=1, replays=True)),
    Place("three workers around one apply", replace(CALM, workers=3, tampering=True), beginnings.queued),
    Place("a retry after a cancel", replace(CALM, workers=1, chain=2, tampering=True), beginnings.canceled),
    Place("two runs, two workers, one workspace", replace(CALM, approvals=2, most_attempts=1), beginnings.waiting),
    Place("a template that is bound later", replace(CALM, workers=1, binding=True)),
)
LARGE = (
    Place(
        "two runs in one workspace, tampering",
        replace(CALM, workers=1, approvals=2, tampering=True),
        beginnings.waiting,
    ),
    Place("everything once, two workers", replace(CALM, replays=True)),
    Place("the agreement was given before the plan", Rules(replays=False), beginnings.late),
    Place("everything at once, one worker", Rules(workers=1), most_states=MOST_STATES),
    Place("everything at once, two workers", Rules(), most_states=MOST_STATES),
    Place("two retries, everything", Rules(chain=2, replays=False), beginnings.canceled, most_states=MOST_STATES),
)


def explore(place: Place) -> tuple[str, Found, str]:
    """Explore a place; the last part of the answer is the trace of what is broken."""
    found = place.explore().found
    trace = found.broken.told(protocol.show) if found.broken else ""
    return place.name, replace(found, broken=None), trace


def main() -> int:
    """Explore everything and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    kept = parser.parse_args().json
    print("| world | states | transitions | depth | seconds | complete | broken |")
    print("|---|---:|---:|---:|---:|---|---|")
    seen, broken = Found(), []
    with ProcessPoolExecutor(PROCESSES) as pool:
        for name, found, trace in pool.map(explore, (*LARGE, *SMALL)):
            _print(name, found, trace)
            seen.states += found.states
            seen.transitions += found.transitions
            broken += [trace] * bool(trace)
    for name, found in notices.explored():
        _print(name, found, "")
    print(f"\n{seen.states:,} states, {seen.transitions:,} transitions; every one was held against:")
    print("\n".join(f"- {promise}: {text}" for promise, text in PROMISES.items()))
    print("\n".join(broken))
    keep(kept, figures(seen, len(broken)))
    return 1 if broken else 0


def figures(seen: Found, broken: int) -> list[dict[str, object]]:
    """What docs/figures.md says about it."""
    return listed(
        "model",
        ("states looked at", seen.states, "", "≥ 1000000"),
        ("transitions", seen.transitions, "", ""),
        ("promises held against each of them", len(PROMISES), "", ""),
        ("worlds in which a promise breaks", broken, "", "0"),
    )


def _print(name: str, found: Found, trace: str) -> None:
    complete = "yes" if found.complete else "no"
    numbers = f"{found.states:,} | {found.transitions:,} | {found.depth} | {found.seconds:.1f}"
    print(f"| {name} | {numbers} | {complete} | {trace.partition(chr(10))[0] or '-'} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
