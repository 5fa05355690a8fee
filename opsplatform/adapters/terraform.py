"""Terraform: plan and apply, never both at once; python-terraform builds the command, we run it.

The plan that was shown is applied from its file, or nothing is. Terraform gets its own session, a clean environment,
limits, a sandbox where the host offers one, and files for its output, so that it can end in order when a worker dies.
"""

import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import python_terraform
from python_terraform import IsFlagged

from opsplatform.adapters.process import Unwatched, Watch
from opsplatform.adapters.process_limits import Limits
from opsplatform.adapters.process_output import LogLine
from opsplatform.adapters.process_stop import stop_process
from opsplatform.adapters.process_table import is_running
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.adapters.sandbox_files import open_to_all
from opsplatform.adapters.terraform_engine import find_terraform
from opsplatform.adapters.terraform_events import Diagnostic, read_errors
from opsplatform.adapters.terraform_result import Finished, explain, finished
from opsplatform.adapters.terraform_runner import CONFIG, DATA_FOLDER, HOME, Follower, Runner, Work
from opsplatform.core.errors import UpstreamError

ALLOWED = frozenset({"init", "plan", "show", "apply", "version"})
UNFIT = re.compile(r"[\x00-\x1f\x7f]")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STEERING = ("TF_LOG", "TF_CLI_ARGS")
VERSION_TIMEOUT_SECONDS = 30.0

__all__ = ["CommandLine", "Diagnostic", "Finished", "Limits", "LogLine", "Terraform", "Watch", "find_terraform"]


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

    def __init__(
        self,
        binary: Path,
        *,
        plugin_mirror: Path | None = None,
        sandbox: Sandbox | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.binary = binary
        self.sandbox = sandbox or Sandbox("off")
        self._mirror = plugin_mirror
        self._runner = Runner(binary, self.sandbox, mirror=plugin_mirror, limits=limits or Limits())
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
                    work = Work(command, Path(name), env, VERSION_TIMEOUT_SECONDS, ours=True)
                    answer = self._answer(work, Path(name))
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
            HOME: str(folder),
            "TMPDIR": str(folder),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "GOGC": "400",
            "GOMEMLIMIT": "1GiB",
            CONFIG: str(config),
        }
        shared = {DATA_FOLDER: str(data_dir.absolute())} if data_dir else {}
        return {**extra, **ours, **shared}

    def init(self, folder: Path, *, env: Mapping[str, str], timeout: float, limits: Limits | None = None) -> Finished:
        """Prepare `.terraform` for the module in the folder, so that every run can read it."""
        command = self._build.init(reconfigure=None, backend=None)
        done = self._run(Work(command, folder, env, timeout, limits=limits, links=True))
        prepared = folder / ".terraform"
        if prepared.is_dir():
            open_to_all(prepared)
        return done

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
        limits: Limits | None = None,
    ) -> Finished:
        """Plan and save it as `out`; code 2 when there is something to do."""
        command = self._build.plan(
            json=IsFlagged,
            out=str(out.absolute()),
            var_file=str(var_file.absolute()),
            destroy=IsFlagged if destroy else None,
            refresh_only=IsFlagged if refresh_only else None,
        )
        work = Work(command, folder, env, timeout, reads=[var_file], writes=[out], limits=limits)
        return self._run(work, watch)

    def show_plan(
        self, folder: Path, plan: Path, *, env: Mapping[str, str], timeout: float, limits: Limits | None = None
    ) -> dict[str, Any]:
        """The saved plan as Terraform describes it in JSON; holds sensitive values in clear."""
        command = self._build.cmd("show", str(plan.absolute()), no_color=IsFlagged, json=IsFlagged)
        work = Work(command, folder, env, timeout, reads=[plan], limits=limits)
        return self._answer(work, Path(env.get(HOME, folder)))

    def apply(  # noqa: PLR0913 - what one run is given
        self,
        folder: Path,
        plan: Path,
        *,
        env: Mapping[str, str],
        timeout: float,
        grace: float,
        var_file: Path | None = None,
        watch: Watch | None = None,
        limits: Limits | None = None,
    ) -> Finished:
        """Apply exactly the saved plan; an interrupted one has `grace` seconds to finish what is under way.

        `var_file` holds the ephemeral variables, which no plan file keeps; Terraform takes no others here.
        """
        options = {"var_file": str(var_file.absolute())} if var_file else {}
        command = self._build.cmd(
            "apply", str(plan.absolute()), no_color=IsFlagged, input=False, json=IsFlagged, **options
        )
        reads = [plan, var_file] if var_file else [plan]
        work = Work(command, folder, env, timeout, grace, reads=reads, limits=limits)
        return self._run(work, watch)

    def is_running(self, pid: int, start_time: str) -> bool:
        """Whether the Terraform that a worker started still runs, also when that worker is gone."""
        return is_running(pid, start_time)

    def stop_process(self, pid: int, start_time: str, *, grace: float) -> bool:
        """Stop the Terraform of a dead worker as an own one is stopped; False when it does not run any more."""
        return stop_process(pid, start_time, grace)

    def _run(self, work: Work, watch: Watch | None = None) -> Finished:
        follower = Follower(watch or Unwatched())
        ended = self._runner.run(work, follower)
        return finished(work.command[1], ended, follower.progress, "\n".join(follower.said))

    def _answer(self, work: Work, where: Path) -> dict[str, Any]:
        """The JSON a command answers; it leaves nothing on the disk."""
        with _scratch(where) as scratch:
            ended = self._runner.run(replace(work, output=scratch), Unwatched())
            if ended.code == 0:
                return _as_json((scratch / "stdout").read_bytes())
            text = (scratch / "stderr").read_text(encoding="utf-8", errors="replace")
        raise UpstreamError("terraform", explain(work.command[1], ended, read_errors(text), text))

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


def _as_json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UpstreamError("terraform", "terraform: its answer is not JSON.") from error
    if not isinstance(value, dict):
        raise UpstreamError("terraform", "terraform: its answer is not a JSON object.")
    return value
