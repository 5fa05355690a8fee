"""What `manage.py serve` costs while nothing happens, and how soon it is ready.

Beside it: one bare Python process that imports the packages we stand on and nothing of ours.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from opsplatform.adapters.fleet import Fleet, free_port
from tests.bench.figures import Figure, limited, said
from tests.bench.processes import tree
from tests.bench.stack import MANAGE, ROOT, answers, settings, wait_for

QUIET_SECONDS = 5
WATCHED_SECONDS = 10
MOST_MB = 300
READY_SECONDS = 5
MB = 1024 * 1024
IMPORTS = "flask, flask_sqlalchemy, flask_migrate, flask_marshmallow, flask_jsonrpc, huey, pydantic, redis, requests"
BARE = f"import {IMPORTS}, re; print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def measure() -> list[Figure]:
    """Memory after five quiet seconds, CPU over ten more, and the time from the start until `/readyz` says yes."""
    bare_seconds, bare_mb = _bare()
    with tempfile.TemporaryDirectory() as name:
        web = free_port()
        env = settings(Path(name), web=web, dingtalk=free_port())
        fleet = Fleet(ROOT)
        fleet.call([*MANAGE, "db", "upgrade"], env)
        begun = time.perf_counter()
        try:
            fleet.start("platform", [*MANAGE, "serve"], env)
            wait_for(lambda: answers(fleet, f"http://127.0.0.1:{web}"), "the platform to be ready", pause=0.02)
            ready = time.perf_counter() - begun
            time.sleep(QUIET_SECONDS)
            quiet = tree(fleet.pids()["platform"])
            time.sleep(WATCHED_SECONDS)
            watched = tree(fleet.pids()["platform"])
        finally:
            fleet.stop()
    for process in quiet:
        print(f"   {process.role:8} {process.rss / MB:5.0f} MB  {process.command[-60:]}")
    cpu = (sum(process.cpu for process in watched) - sum(process.cpu for process in quiet)) / WATCHED_SECONDS
    return [
        limited(
            "idle memory, all processes",
            sum(process.rss for process in quiet) / MB,
            unit="MB",
            at_most=MOST_MB,
            beside=f"one bare Python with our packages {bare_mb:.0f} MB",
        ),
        Figure("idle CPU, all processes", f"{cpu * 100:.1f} % of a core"),
        limited(
            "start → ready", ready, unit="s", at_most=READY_SECONDS, beside=f"bare imports {said(bare_seconds, 's')}"
        ),
    ]


def _bare() -> tuple[float, float]:
    """Seconds and megabytes of the second of two starts, so that the files are in memory as they are for us."""
    for _ in range(2):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - begun
    return seconds, int(done.stdout) * 1024 / MB
