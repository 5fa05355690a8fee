"""Run one Terraform command inside its limits and, where there is one, the sandbox; with exactly the files it needs."""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opsplatform.adapters import process
from opsplatform.adapters.process import Ended, Job, Watch
from opsplatform.adapters.process_limits import MB, Limits
from opsplatform.adapters.process_output import LogLine
from opsplatform.adapters.sandbox import Box, Sandbox
from opsplatform.adapters.sandbox_relay import Way, way_to
from opsplatform.adapters.terraform_engine import files_of
from opsplatform.adapters.terraform_events import Progress, parse
from opsplatform.core.errors import UpstreamError

QUICK_GRACE_SECONDS = 10.0
SIGNALS_FROM = 128  # what a sandbox adds to the signal that ended the program
DIED = 2  # how a Go program ends that dies of itself, after it said why
LAST_WORDS = 64 * 1024
OUT_OF_MEMORY = (b"runtime: cannot allocate memory", b"runtime: out of memory", b"fatal error: out of memory")
CONFIG, DATA_FOLDER, HOME = "TF_CLI_CONFIG_FILE", "TF_DATA_DIR", "HOME"
STATE_BACKEND, STATE_ADDRESS = "TF_HTTP_", "TF_HTTP_ADDRESS"
# What every run's environment holds; whatever else is there are credentials, and those are for a cloud.
ALWAYS = frozenset(
    {"PATH", "LANG", HOME, "TMPDIR", "TF_IN_AUTOMATION", "TF_INPUT", "CHECKPOINT_DISABLE", "GOGC", "GOMEMLIMIT"}
    | {CONFIG, DATA_FOLDER}
)


@dataclass(frozen=True)
class Work:
    """One command.

    Attributes:
        reads: files outside the folder that it needs.
        writes: files outside the folder that it makes.
        output: where its output goes; the folder itself unless given.
        ours: it runs nothing of a module, so it needs no sandbox.
        links: it may make symbolic links, as init does to providers.
    """

    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    timeout: float
    grace: float = QUICK_GRACE_SECONDS
    reads: Sequence[Path] = ()
    writes: Sequence[Path] = ()
    output: Path | None = None
    limits: Limits | None = None
    ours: bool = False
    links: bool = False


class Runner:
    """How this host runs Terraform."""

    def __init__(self, binary: Path, sandbox: Sandbox, *, mirror: Path | None, limits: Limits) -> None:
        self._binary = binary
        self._sandbox = sandbox
        self._outside = Sandbox("off")
        self._mirror = mirror
        self._limits = limits

    def run(self, work: Work, watch: Watch) -> Ended:
        """Run it to its end, or raise UpstreamError when it cannot be started."""
        limits = work.limits or self._limits
        folder = work.folder.absolute()
        output = (work.output or folder).absolute()
        self._check()
        sandbox = self._outside if work.ours else self._sandbox
        with sandbox.around(self._box(work, folder, output), work.command, limits) as contained:
            job = Job(
                "terraform",
                contained.command,
                folder,
                {**work.env, **contained.env},
                output,
                work.timeout,
                work.grace,
                limits=limits,
                descriptors=contained.descriptors,
                begun=contained.begun,
            )
            ended = process.run(job, watch)
        return _starved(_translated(ended) if contained.inside else ended, job)

    def _box(self, work: Work, folder: Path, output: Path) -> Box:
        fixed = [output / name for name in ("stdout", "stderr")] if output.is_relative_to(folder) else []
        config = [Path(work.env[CONFIG])] if CONFIG in work.env else []
        shared = [Path(work.env[DATA_FOLDER])] if DATA_FOLDER in work.env else []
        network, way = _network(work.env)
        return Box(
            folder=folder,
            writable=[path.absolute() for path in work.writes],
            private=[*config, *(path.absolute() for path in work.reads)],
            readable=[*files_of(self._binary), *shared, *([self._mirror.absolute()] if self._mirror else [])],
            fixed=fixed,
            network=network,
            way=way,
            links=work.links,
        )

    def _check(self) -> None:
        """Say plainly when there is no Terraform; else only what wraps it could complain."""
        if not os.access(self._binary, os.X_OK):
            why = "Permission denied" if self._binary.exists() else "No such file or directory"
            raise UpstreamError("terraform", f"{self._binary}: cannot be started ({why}).")


def _network(env: Mapping[str, str]) -> tuple[bool, Way | None]:
    """Whether a run has the network: only with credentials for a cloud. Without, it can reach its state at most."""
    if any(name not in ALWAYS and not name.startswith(STATE_BACKEND) for name in env):
        return True, None
    if STATE_ADDRESS not in env:
        return False, None
    way = way_to(env[STATE_ADDRESS])
    return way is None, way


def _translated(ended: Ended) -> Ended:
    """A signal that ended the program inside, told as one that ended a child of ours."""
    return replace(ended, code=SIGNALS_FROM - ended.code) if ended.code > SIGNALS_FROM else ended


def _starved(ended: Ended, job: Job) -> Ended:
    """A Terraform that died because the kernel gave it no more memory, told as one that the meter caught."""
    if ended.code != DIED or ended.excess or not job.limits or not job.stderr.is_file() or job.stderr.is_symlink():
        return ended
    with job.stderr.open("rb") as file:
        beginning = file.read(LAST_WORDS)
    if not any(words in beginning for words in OUT_OF_MEMORY):
        return ended
    return replace(ended, excess=f"used more memory than {job.limits.memory_bytes // MB} MB")


class Follower:
    """Folds the messages on their way to the caller's watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.progress = Progress()
        self.said: deque[str] = deque(maxlen=500)
        self.started: Callable[[int, str], None] = watch.started
        self.wants_stop: Callable[[], bool] = watch.wants_stop

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Parse each line once, for us and for the caller."""
        parsed = [replace(line, message=parse(line.text)) if line.stream == "stdout" else line for line in lines]
        for line in parsed:
            self.progress.take(line.message)
            if line.message is None:
                self.said.append(line.text)
        self._watch.lines(parsed)
