"""The folder one run works in, and the prepared `.terraform` its module version shares with others.

<data>/runs/<run id>-<fence>/module/    the module's files, the state when it is kept here
                             variables.tfvars.json  mode 0600, outside the module, so that nothing in it can shadow it
                             plan.bin, process, stdout, stderr
<data>/warm/<module>-<version>-<engine>-<backend>/.terraform   initialised once, then only read
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opsplatform.adapters.process_table import is_running, leader_in
from opsplatform.adapters.terraform import Terraform
from opsplatform.core.errors import UpstreamError

LOCK_FILE = ".terraform.lock.hcl"
STATE_FILE = "terraform.tfstate"
ERRORED_STATE = "errored.tfstate"
HTTP_BACKEND = b'terraform {\n  backend "http" {}\n}\n'
INIT_SECONDS = 600

ModuleFiles = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Workdir:
    """Paths of one run's folder."""

    root: Path

    @property
    def module(self) -> Path:
        """Where Terraform runs."""
        return self.root / "module"

    @property
    def variables(self) -> Path:
        """The values Terraform gets."""
        return self.root / "variables.tfvars.json"

    @property
    def plan(self) -> Path:
        """The saved plan."""
        return self.root / "plan.bin"

    @property
    def state(self) -> Path:
        """The state, where it is kept in the folder."""
        return self.module / STATE_FILE

    def note_process(self, pid: int, start_time: str) -> None:
        """Remember which process works here."""
        (self.root / "process").write_text(f"{pid} {start_time}", encoding="ascii")

    def read_process(self) -> tuple[int, str] | None:
        """The process that worked here last, or None."""
        try:
            pid, start_time = (self.root / "process").read_text(encoding="ascii").split(maxsplit=1)
        except (OSError, ValueError):
            return None
        return int(pid), start_time

    def find_process(self) -> tuple[int, str] | None:
        """The process that works here, also where its worker died before it noted it; or the one that did last."""
        return self.read_process() or leader_in(self.module)

    def read_output(self) -> list[str]:
        """What Terraform wrote to its standard output, line by line."""
        return _read_own(self.module / "stdout").decode("utf-8", "replace").splitlines()

    def read_state(self) -> bytes | None:
        """What Terraform left: the state it could not deliver first, else the one it kept."""
        for path in (self.module / ERRORED_STATE, self.state):
            content = _read_own(path)
            if content:  # Terraform makes the file when it takes its lock, long before there is anything to write
                return content
        return None

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.root, ignore_errors=True)


def _read_own(path: Path) -> bytes:
    """The file, or nothing where there is none; a link that a module left there is not followed."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def folder_of(data_dir: Path, run_id: int, fence: int) -> Workdir:
    """The folder in which the holder of this fence works; nobody else ever does."""
    return Workdir(data_dir / "runs" / f"{run_id}-{fence}")


def last_folder_of(data_dir: Path, run_id: int) -> Workdir | None:
    """The folder the last worker of a run left behind on this host, or None."""
    found = sorted((data_dir / "runs").glob(f"{run_id}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return Workdir(found[-1]) if found else None


def alive(data_dir: Path) -> dict[int, int]:
    """The runs of this host whose Terraform lives, each with the number of its process."""
    noted = ((path.name, Workdir(path).find_process()) for path in (data_dir / "runs").glob("*-*"))
    return {int(name.partition("-")[0]): process[0] for name, process in noted if process and is_running(*process)}


def quiet(data_dir: Path) -> list[tuple[int, int]]:
    """Run and fence of every folder on this host whose noted process, if there is one, lives no more."""
    noted = ((path.name.partition("-"), Workdir(path).read_process()) for path in (data_dir / "runs").glob("*-*"))
    return [(int(run), int(fence)) for (run, _, fence), process in noted if not process or not is_running(*process)]


def render(workdir: Workdir, files: ModuleFiles, *, variables: bytes, backend: str, state: bytes | None) -> None:
    """Write everything a plan or an apply needs, into an empty folder."""
    workdir.remove()
    workdir.module.mkdir(parents=True, mode=0o700)
    write_module(workdir.module, files, backend)
    write_private(workdir.variables, variables)
    if state is not None and backend == "local":
        write_private(workdir.state, state)


def write_private(path: Path, content: bytes) -> None:
    """Write a file only we can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def write_module(folder: Path, files: ModuleFiles, backend: str) -> None:
    """Write the module's files, and the backend block that is the platform's own."""
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if backend == "http":
        (folder / "opsplatform_backend.tf").write_bytes(HTTP_BACKEND)


def warm(terraform: Terraform, data_dir: Path, key: str, files: ModuleFiles, *, state_env: Mapping[str, str]) -> Path:
    """The initialised folder of a module version, made on first use; raises UpstreamError when init fails.

    `state_env` is the way to the http backend, or empty for the local one. Terraform writes none of it into the
    folder, so that every run can use it.
    """
    backend = "http" if state_env else "local"
    folder = data_dir / "warm" / f"{key}-{backend}"
    ready = folder / ".ready"
    if ready.is_file():
        return folder
    with _alone(data_dir / "warm", key):
        if ready.is_file():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        write_module(folder, files, backend)
        env = terraform.environment(folder, data_dir=None, extra=state_env)
        finished = terraform.init(folder, env=env, timeout=INIT_SECONDS)
        if finished.code != 0:
            raise UpstreamError("terraform", f"terraform init: {finished.first_error}")
        ready.touch()
    return folder


@contextmanager
def _alone(folder: Path, key: str) -> Iterator[None]:
    """One process and thread at a time prepares a module version."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / f"{key}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
