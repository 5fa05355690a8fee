"""The peer: somebody who types `terraform init && terraform plan -out=plan && terraform apply plan` in a new folder."""

import json
import os
import resource
import shlex
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opsplatform.adapters.terraform_engine import find_terraform
from tests.bench.stack import MODULE, VARIABLES

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Bare:
    """Bare Terraform on the module the platform's runs use, with the same values; Go's own settings."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self._program = shlex.quote(str(find_terraform(os.environ.get("TERRAFORM_BIN", ""), root / "data")))

    def folder(self) -> Path:
        """A fresh folder with the module's files and its values."""
        self._count += 1
        folder = self._root / f"bare-{self._count}"
        shutil.copytree(MODULE, folder)
        (folder / "terraform.tfvars.json").write_text(json.dumps(VARIABLES), encoding="utf-8")
        return folder

    def cycle(self, folder: Path) -> float:
        """The three commands; the seconds they took."""
        commands = ("init -input=false", "plan -input=false -out=plan", "apply -input=false plan")
        script = " && ".join(f"{self._program} {command}" for command in commands)
        # It must not phone home: that would only make the peer slower.
        env = {"PATH": SYSTEM_PATH, "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}
        begun = time.perf_counter()
        subprocess.run(["/bin/sh", "-c", script], cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun

    def many(self, count: int, *, at_once: int) -> tuple[float, dict[str, float]]:
        """The seconds of a loop that keeps so many cycles going, and its CPU seconds."""
        folders = [self.folder() for _ in range(count)]
        before, begun = _children_cpu(), time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self.cycle, folders))
        return time.perf_counter() - begun, {"terraform": _children_cpu() - before}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
