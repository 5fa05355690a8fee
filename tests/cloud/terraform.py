"""Terraform in a folder of its own, started directly: what the cloud's tests drive the provider with."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER = """terraform {
  required_providers {
    fakecloud = { source = "ops.local/demo/fakecloud" }
  }
}
"""


class Terraform:
    """One workspace; every method is one command."""

    def __init__(self, binary: Path, folder: Path, env: Mapping[str, str], mirror: Path | None = None) -> None:
        self.binary, self.folder = binary, folder
        folder.mkdir()
        installation = f'filesystem_mirror {{ path = "{mirror}" }}' if mirror else ""
        config = folder / "terraform.rc"
        config.write_text(f"provider_installation {{ {installation} }}\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(config),
            **env,
        }
        self.write("")
        self.init()

    def write(self, text: str) -> None:
        """Make this the whole module."""
        (self.folder / "main.tf").write_text(HEADER + text, encoding="utf-8")

    def init(self) -> None:
        """Install the provider, or find it running."""
        self.ok("init", "-input=false")

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [self.binary, *arguments, "-no-color"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """Run a command that must work; answers what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def apply(self, text: str | None = None) -> str:
        """Bring about what the text says, or what the module says already."""
        if text is not None:
            self.write(text)
        return self.ok("apply", "-auto-approve", "-input=false")

    def fails(self, *arguments: str) -> str:
        """Run a command that must not work; answers what it printed."""
        done = self.run(*arguments)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def changes(self) -> int:
        """Plan: 0 when there is nothing to do, 2 when there is."""
        return self.run("plan", "-input=false", "-detailed-exitcode").returncode

    def state(self) -> dict[str, dict[str, Any]]:
        """Attributes of everything in the state, by address."""
        path = self.folder / "terraform.tfstate"
        blocks = json.loads(path.read_text())["resources"] if path.is_file() else []
        return {
            f"{block['type']}.{block['name']}" + (f"[{each['index_key']}]" if "index_key" in each else ""): each[
                "attributes"
            ]
            for block in blocks
            for each in block["instances"]
        }

    def ids(self) -> set[str]:
        """The ids of everything in the state."""
        return {attributes["id"] for attributes in self.state().values()}

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command in a session of its own; its output goes to the folder."""
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [self.binary, *arguments],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def kill_session(child: "subprocess.Popen[bytes]") -> None:
    """kill -9 a command and everything it started."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
