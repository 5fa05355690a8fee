"""One ticket for each apply: either its worker starts Terraform with it, or whoever settles the run keeps it.

A worker that only was slow (stopped, swapped out, cut off from the database) may wake up after its run was settled. It
asks for the ticket right before it starts Terraform, finds it taken, and starts nothing. On the other hand, who
settles a run and finds its ticket taken knows that Terraform may have been started, also where no process is noted.

A ticket outlives its run for a while: a database that was brought back from an earlier day does not know that the plan
was applied, the ticket does.
"""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from opsplatform.adapters.process_table import is_running, start_time_of

SETTLED = "settled"  # by a worker of the host on which the run was applied
AWAY = "away"  # by a worker of another host, which cannot know what goes on there
ENDED = "ended"  # Terraform was started with it, and its own worker has ended the run
LONGEST_START_SECONDS = 600.0


def me() -> str:
    """This process, as it stands in a ticket."""
    return f"{os.getpid()} {start_time_of(os.getpid())}"


def of_plan(run_id: int, digest: str) -> str:
    """The ticket's name. It says which plan, for a restored database gives numbers of runs a second time."""
    return f"{run_id}-{digest[:16]}"


def take(data_dir: Path, plan: str, holder: str) -> str:
    """Ask for the ticket; answers who holds it from now on, which is whoever asked first."""
    ticket = _path(data_dir, plan)
    ticket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=ticket.parent, encoding="ascii") as draft:
        draft.write(holder)
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, ticket)  # with its content or not at all, and only once
    return ticket.read_text(encoding="ascii")


def is_taken(data_dir: Path, plan: str) -> bool:
    """Whether anybody has asked for the ticket."""
    return _path(data_dir, plan).is_file()


def is_starting(data_dir: Path, plan: str, holder: str) -> bool:
    """Whether the holder still lives and may be about to start Terraform."""
    pid, _, start_time = holder.partition(" ")
    age = time.time() - _path(data_dir, plan).stat().st_mtime
    return pid.isdecimal() and age < LONGEST_START_SECONDS and is_running(int(pid), start_time)


def close(data_dir: Path, plan: str) -> None:
    """Note that the run was ended by the worker that started its Terraform, if it came to that."""
    if is_taken(data_dir, plan):
        _path(data_dir, plan).write_text(ENDED, encoding="ascii")


def old(data_dir: Path, seconds: float) -> dict[str, int]:
    """The tickets that nobody has touched for that long, each with its run."""
    before = time.time() - seconds
    found = (path for path in (data_dir / "tickets").glob("*-*") if path.stat().st_mtime < before)
    return {path.name: int(path.name.partition("-")[0]) for path in found}


def drop(data_dir: Path, plan: str) -> None:
    """Forget a ticket."""
    _path(data_dir, plan).unlink(missing_ok=True)


def _path(data_dir: Path, plan: str) -> Path:
    return data_dir / "tickets" / plan
