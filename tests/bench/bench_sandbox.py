"""What limits and the sandbox cost each Terraform command, beside the same command without: they take turns."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from opsplatform.adapters.process import Unwatched
from opsplatform.adapters.process_limits import Limits
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.adapters.terraform_engine import find_terraform
from opsplatform.adapters.terraform_runner import Runner, Work
from tests.bench.figures import Figure, limited, said

TURNS = 60
AT_MOST_MS = 10.0
ENV = {"PATH": "/usr/bin:/bin", "CHECKPOINT_DISABLE": "1", "GOGC": "400"}


class Unlimited(Limits):
    """No limits at all: the command as it is."""

    def prefix(self, *, own_user: bool) -> list[str]:
        """Nothing."""
        return []


def measure() -> list[Figure]:
    """Medians of the differences within each turn, of Terraform itself and of a program that does nothing."""
    sandbox = Sandbox("auto")
    in_force, text = sandbox.report()
    print(f"   the sandbox is {text}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        program = find_terraform(os.environ.get("TERRAFORM_BIN", ""), root)
        figures = []
        for what, command in (("terraform version", [str(program), "version"]), ("a program", ["/bin/true"])):
            ways = {
                "bare": _way(root / f"bare {what}", Sandbox("off"), Unlimited(), command),
                "limits": _way(root / f"limits {what}", Sandbox("off"), Limits(), command),
                "sandbox": _way(root / f"sandbox {what}", sandbox, Limits(), command),
            }
            took = _in_turns(ways)
            bare = f"bare {said(median(took['bare']), 'ms')}"
            figures.append(_more(f"limits: {what}", took["limits"], took["bare"], bare))
            if in_force:
                figures.append(_more(f"limits and sandbox: {what}", took["sandbox"], took["bare"], bare))
    return figures


def _way(folder: Path, sandbox: Sandbox, limits: Limits, command: list[str]) -> Callable[[], None]:
    folder.mkdir()
    runner = Runner(Path(command[0]), sandbox, mirror=None, limits=limits)
    work = Work(command, folder, ENV, timeout=60)

    def run() -> None:
        ended = runner.run(work, Unwatched())
        assert ended.code == 0, (ended, (folder / "stderr").read_text(encoding="utf-8"))

    return run


def _in_turns(ways: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of each way; the first turn does not count."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS + 1):
        for name, run in ways.items():
            begun = time.perf_counter()
            run()
            took[name].append(time.perf_counter() - begun)
    return {name: seconds[1:] for name, seconds in took.items()}


def _more(name: str, ours: list[float], bare: list[float], beside: str) -> Figure:
    more = median(mine - theirs for mine, theirs in zip(ours, bare, strict=True))
    return limited(name, more * 1000, unit="ms more", at_most=AT_MOST_MS, beside=beside)
