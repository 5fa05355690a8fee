"""How long `manage.py demo` takes from its start to its end, beside one bare cycle of the Terraform it runs."""

import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.bare import Bare
from tests.bench.figures import Figure, limited, said
from tests.bench.stack import MANAGE, ROOT

MOST_SECONDS = 60


def measure() -> list[Figure]:
    """One whole demo, set-up and stopping included."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Bare(Path(folder))
        floor = bare.cycle(bare.folder())
    begun = time.perf_counter()
    done = subprocess.run([*MANAGE, "demo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"the demo ended with code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    beside = f"bare init+plan+apply {said(floor, 's')}"
    return [limited("make demo", seconds, unit="s", at_most=MOST_SECONDS, beside=beside)]
