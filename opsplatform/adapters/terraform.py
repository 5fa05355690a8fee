"""Terraform: plan and apply, never both at once; python-terraform builds the command, we run it.

The plan that was shown is applied from its file, or nothing is. Terraform gets its own session, a clean environment
and files for its output, so that it outlives a worker that dies.
"""

import json
import re
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import python_terraform
from python_terraform import IsFlagged

from opsplatform.adapters import process
from opsplatform.adapters.process import Job, LogLine, Unwatched, Watch
from opsplatform.adapters.process_stop import stop_process
from opsplatform.adapters.process_table import is_running
from opsplatform.adapters.terraform_engine import find_terraform
from opsplatform.adapters.terraform_events import Diagnostic, Progress, parse, read_errors
from opsplatform.adapters.terraform_result import Finished, explain, finished
from opsplatform.core.errors import UpstreamError

ALLOWED = frozenset({"init", "plan", "show", "apply", "version"})
UNFIT = re.compile(r"[\x00-\x1f\x7f]")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STEERING = ("TF_LOG", "TF_CLI_ARGS")
QUICK_GRACE_SECONDS = 10.0
VERSION_TIMEOUT_SECONDS = 30.0

__all__ = ["CommandLine", "Diagnostic", "Finished", "LogLine", "Terraform", "Watch", "find_terraform"]


class CommandLine(python_terraform.Terraform):
    """python-terraform as a builder of argument lists; it starts no process and reads no state."""

    def cmd(self, cmd: str, *args: str, **options: object) -> list[str]:
        """Answer the argument list where the base class would run it; ValueError for what must not be passed."""
        if cmd not in ALLOWED or options.pop("var", None):
            raise ValueError(f"terraform {cmd}: not a command of ours, or a variable on the command line")
        words: list[str] = self.generate_cmd_string(cmd, *args, **options)
        if any(UNFIT.search(word) for word in words) or any(word.startswith("-") for word in args):
            raise ValueError(f"terraform {cmd}: an argument holds a control character or poses as an option")
        return words

    def read_state_file(self, file_path: str | None = None) -> None:
        """Do nothing: the base class parses the state on every call."""

    def _generate_default_options(self, input_options: dict[str, object]) -> dict[str, object]:
        return {"no_color": IsFlagged, "input": False, **input_options}

    def __getattr__(self, item: str) -> Any:  # noqa: ANN401 - nothing is ever answered
        """Refuse what the base class would turn into a command."""
        raise AttributeError(item)


class Terraform:
    """One Terraform, or OpenTofu, of this host."""

    def __init__(self, binary: Path, *, plugin_mirror: Path | None = None) -> None:
        self.binary = binary
        self._mirror = plugin_mirror
        self._build = CommandLine(working_dir=".", terraform_bin_path=str(binary))
        self._version = ""
        self._guard = threading.Lock()

    def version(self) -> str:
        """Its version, asked once."""
        with self._guard:
            if not self._version:
                with tempfile.TemporaryDirectory() as name:
                    command = self._build.cmd("version", json=IsFlagged)
                    env = self.environment(Path(name), data_dir=None, extra={})
                    answer = self._answer(command, Path(name), env, VERSION_TIMEOUT_SECONDS)
                self._version = str(answer.get("terraform_version", "unknown"))
        return self._version

    def environment(self, folder: Path, *, data_dir: Path | None, extra: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a run, with nothing of ours; `extra` holds credentials and `TF_HTTP_*`.

        It writes `terraform.rc` into the folder: providers come from the mirror, or from nowhere. The builtin
        provider needs neither. `data_dir` is a `.terraform` folder prepared by `init`.
        """
        steering = [name for name in extra if name.startswith(STEERING)]
        if steering:
            raise UpstreamError(
                "terraform", f"{steering[0]} must not be set for a run: it changes what Terraform does."
            )
        folder = folder.absolute()
        config = folder / "terraform.rc"
        try:
            config.write_text(self._cli_config(), encoding="utf-8")
        except OSError as error:
            raise UpstreamError("terraform", f"{config}: cannot be written ({error.strerror}).") from error
        ours = {
            "PATH": SYSTEM_PATH,
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "GOGC": "400",
            "GOMEMLIMIT": "1GiB",
            "TF_CLI_CONFIG_FILE": str(config),
        }
        shared = {"TF_DATA_DIR": str(data_dir.absolute())} if data_dir else {}
        return {**extra, **ours, **shared}

    def init(self, folder: Path, *, env: Mapping[str, str], timeout: float) -> Finished:
        """Prepare `.terraform` for the module in the folder."""
        command = self._build.init(reconfigure=None, backend=None)
        return self._run(command, folder, env, timeout)

    def plan(  # noqa: PLR0913 - the ways to plan are few and are all here
        self,
        folder: Path,
        *,
        var_file: Path,
        out: Path,
        env: Mapping[str, str],
        timeout: float,
        watch: Watch | None = None,
        destroy: bool = False,
        refresh_only: bool = False,
    ) -> Finished:
        """Plan and save it as `out`; code 2 when there is something to do."""
        command = self._build.plan(
            json=IsFlagged,
            out=str(out.absolute()),
            var_file=str(var_file.absolute()),
            destroy=IsFlagged if destroy else None,
            refresh_only=IsFlagged if refresh_only else None,
        )
        return self._run(command, folder, env, timeout, watch=watch)

    def show_plan(self, folder: Path, plan: Path, *, env: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """The saved plan as Terraform describes it in JSON; holds sensitive values in clear."""
        command = self._build.cmd("show", str(plan.absolute()), no_color=IsFlagged, json=IsFlagged)
        return self._answer(command, folder, env, timeout)

    def apply(
        self,
        folder: Path,
        plan: Path,
        *,
        env: Mapping[str, str],
        timeout: float,
        grace: float,
        watch: Watch | None = None,
    ) -> Finished:
        """Apply exactly the saved plan; an interrupted one has `grace` seconds to finish what is under way."""
        command = self._build.cmd("apply", str(plan.absolute()), no_color=IsFlagged, input=False, json=IsFlagged)
        return self._run(command, folder, env, timeout, grace=grace, watch=watch)

    def is_running(self, pid: int, start_time: str) -> bool:
        """Whether the Terraform that a worker started still runs, also when that worker is gone."""
        return is_running(pid, start_time)

    def stop_process(self, pid: int, start_time: str, *, grace: float) -> bool:
        """Stop the Terraform of a dead worker as an own one is stopped; False when it does not run any more."""
        return stop_process(pid, start_time, grace)

    def _run(
        self,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        timeout: float,
        grace: float = QUICK_GRACE_SECONDS,
        watch: Watch | None = None,
    ) -> Finished:
        folder = folder.absolute()
        follower = _Follower(watch or Unwatched())
        ended = process.run(Job("terraform", command, folder, env, folder, timeout, grace), follower)
        return finished(command[1], ended, follower.progress, "\n".join(follower.said))

    def _answer(self, command: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """The JSON a command answers; it leaves nothing on the disk."""
        with _scratch(folder) as scratch:
            job = Job("terraform", command, folder.absolute(), env, scratch, timeout, QUICK_GRACE_SECONDS)
            ended = process.run(job, Unwatched())
            if ended.code == 0:
                return _as_json(job.stdout.read_bytes())
            text = job.stderr.read_text(encoding="utf-8", errors="replace")
        raise UpstreamError("terraform", explain(command[1], ended, read_errors(text), text))

    def _cli_config(self) -> str:
        """Where providers come from; an empty block means nowhere, above all not the network."""
        mirror = f"  filesystem_mirror {{ path = {json.dumps(str(self._mirror))} }}\n" if self._mirror else ""
        return f"provider_installation {{\n{mirror}}}\n"


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    try:
        scratch = tempfile.TemporaryDirectory(dir=folder)
    except OSError as error:
        raise UpstreamError("terraform", f"{folder}: cannot be written ({error.strerror}).") from error
    with scratch as name:
        yield Path(name).absolute()


class _Follower:
    """Folds the messages on their way to the caller's watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.progress = Progress()
        self.said: deque[str] = deque(maxlen=500)
        self.started = watch.started
        self.wants_stop = watch.wants_stop

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Parse each line once, for us and for the caller."""
        parsed = [replace(line, message=parse(line.text)) if line.stream == "stdout" else line for line in lines]
        for line in parsed:
            self.progress.take(line.message)
            if line.message is None:
                self.said.append(line.text)
        self._watch.lines(parsed)


def _as_json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UpstreamError("terraform", "terraform: its answer is not JSON.") from error
    if not isinstance(value, dict):
        raise UpstreamError("terraform", "terraform: its answer is not a JSON object.")
    return value
