"""A crowd: one person orders many heavy servers, whose plans take 600 MB each, while another orders small ones.

`python -m tests.chaos.crowd` prints how much memory all Terraforms and their providers took together at most, beside
what the host was given, and how long the small runs waited for their start. Ends with 1 when a promise was broken.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from opsplatform.adapters.process_limits import MB
from tests.bench.figures import quantile
from tests.bench.processes import tree
from tests.chaos.figures import keep, listed
from tests.cloud.offers import ENVIRONMENT_SETTING, SERVER, add_modules, add_templates, write_credentials
from tests.cloud.provider.mirror import make_mirror
from tests.cloud.server import running_cloud
from tests.flows.conftest import Stack, a_stack, wait_for
from tests.support import ROOT

WEIGHT_MB, WEIGHT_SECONDS = 600, 4
ROOM_MB = 3000
STACK = "SQLite + embedded queue"
LONGEST_SECONDS = 1800


class Scale:
    """Weighs all Terraforms of the platform and what they started, again and again."""

    def __init__(self, stack: Stack) -> None:
        self._root = stack.fleet.pids()["worker"]
        self._stop = threading.Event()
        self.most = 0
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Weigh no more."""
        self._stop.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._stop.wait(0.1):
            below = [process for process in tree(self._root) if process.pid != self._root]
            self.most = max(self.most, sum(process.rss for process in below))


@contextmanager
def a_crowded_stack(folder: Path, room_mb: int, seconds: float) -> Iterator[Stack]:
    """The platform, with a cloud whose provider is heavy."""
    modules = folder / "modules"
    shutil.copytree(ROOT / "terraform_modules", modules)
    add_modules(modules)
    with running_cloud(folder / "ledger.jsonl") as cloud:
        weight = {"FAKECLOUD_WEIGHT_MB": WEIGHT_MB, "FAKECLOUD_WEIGHT_SECONDS": seconds}
        credentials = write_credentials(folder / "demo.env", cloud.url, **weight)
        more: dict[str, object] = {
            "terraform_plugin_mirror": make_mirror(folder / "mirror"),
            "ops_worker_memory_mb": room_mb,
            ENVIRONMENT_SETTING.lower(): credentials,
        }
        with a_stack(folder / "data", modules, **more) as stack:
            add_templates(stack.simulator)
            yield stack


def small_runs(stack: Stack, until_planned: int) -> list[float]:
    """Order a small server, again and again while heavy plans are left; the seconds until each started."""
    waits = []
    while planned(stack, "cloud-server") < until_planned:
        instance_id = stack.simulator.submit("PROC-DEMO-SERVER", "lisi", {"服务器名称": "small", "规格": "small"})
        run = wait_for(lambda i=instance_id: started(stack, i), "a small run to start", LONGEST_SECONDS)
        waits.append((moment(run["started_at"]) - moment(run["created_at"])).total_seconds())
    return waits


def planned(stack: Stack, module: str) -> int:
    """How many runs of the module are planned; one that failed ends all."""
    found = [run for page in pages(stack, module) for run in page]
    failed = [run["error"] for run in found if run["status"] == "errored"]
    if failed:
        raise RuntimeError(f"a run failed: {failed[0]}")
    return sum(run["status"] == "planned" for run in found)


def pages(stack: Stack, module: str) -> Iterator[list[dict[str, Any]]]:
    """All runs of a module."""
    cursor = None
    while True:
        answer = stack.api.call("run.list", module=module, limit=200, cursor=cursor)
        yield answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def started(stack: Stack, instance_id: str) -> dict[str, Any] | None:
    """The run, once it has started."""
    run = stack.api.run_of(instance_id)
    return run if run and run["started_at"] else None


def moment(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def measure(heavy: int, room_mb: int, seconds: float) -> list[dict[str, object]]:
    """The figures."""
    with (
        tempfile.TemporaryDirectory(prefix="ops-crowd-") as name,
        a_crowded_stack(Path(name), room_mb, seconds) as stack,
    ):
        first = stack.simulator.submit("PROC-DEMO-SERVER", "lisi", {"服务器名称": "first", "规格": "small"})
        stack.in_status(first, "planned")  # what a small plan takes is known from then on
        scale, begun = Scale(stack), time.monotonic()
        for number in range(heavy):
            stack.simulator.submit(SERVER, "zhangsan", {"名称": f"heavy-{number}"})
        waits = small_runs(stack, heavy)
        took = time.monotonic() - begun
        scale.close()
    return listed(
        STACK,
        (f"{heavy} plans of {WEIGHT_MB} MB each, the most at once", scale.most // MB, "MB", f"≤ {room_mb}",
         f"the room of the host; all at once would take {heavy * WEIGHT_MB} MB"),
        ("small runs started meanwhile", len(waits), "runs", "≥ 1"),
        ("longest wait of a small run for its start", round(max(waits), 3), "s", "≤ 1"),
        ("median wait of a small run for its start", round(quantile(waits, 0.5), 3), "s", ""),
        ("all heavy plans made in", round(took), "s", ""),
    )  # fmt: skip


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heavy", type=int, default=60, help="how many heavy plans")
    parser.add_argument("--room", type=int, default=ROOM_MB, help="memory of the host for Terraform, in MB")
    parser.add_argument("--seconds", type=float, default=WEIGHT_SECONDS, help="how long each carries its weight")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    figures = measure(chosen.heavy, chosen.room, chosen.seconds)
    for figure in figures:
        print("   {name}: {value} {unit} · target {target}".format(**figure))
    keep(chosen.json, figures)
    broken = figures[0]["value"] > chosen.room  # the times are judged on the page, not here
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
