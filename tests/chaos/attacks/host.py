"""A host with things to steal and to break, and a judge of what an attack did to it.

Everything worth stealing holds a word that begins with CANARY. An attack that gets further than it may, and has nothing
to show for it, says STOLEN. What a run leaves is read as a worker reads it, links followed and all.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from stat import S_ISDIR, S_ISREG, S_ISUID
from typing import Any

import yaml

from opsplatform.adapters.process import Unwatched
from opsplatform.adapters.process_limits import Limits
from opsplatform.adapters.sandbox import Box, Contained, Kind, Sandbox
from opsplatform.adapters.sandbox_files import give, private_tree
from opsplatform.adapters.terraform import Finished, Terraform, find_terraform
from opsplatform.core.errors import UpstreamError

ATTACKS = Path(__file__).parent
NAMES = sorted(path.parent.name for path in ATTACKS.glob("*/attack.yaml"))
LOOT = ("CANARY", "STOLEN")
MOST_READ = 4 << 20
MOST_FILES = 2000
OFFER = "title: {zh: 攻击, en: Attack}\n"
SETTINGS = ("attack.yaml",)


@dataclass(frozen=True)
class Attack:
    """What stands in attack.yaml.

    Attributes:
        tries: what it tries, for people.
        refused: what the first gate says; empty when the gate has nothing against it.
        refused_in_plan: what the second gate says of its plan.
        does: how far it is let go with both gates open: nothing, init, plan, apply, destroy.
        harm: what it does outside the sandbox; empty when that is not tried out, because it would hurt.
        root: that harm needs root.
        says: what the error says that it ends with inside; a pattern.
        ends: `applied` when it succeeds and does no harm.
        limits: other limits than usual.
        seconds: after how many it is told to stop.
        links: symbolic links to lay into the module.
    """

    tries: str
    refused: str = ""
    refused_in_plan: str = ""
    does: str = "apply"
    harm: str = ""
    root: bool = False
    says: str = ""
    ends: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    seconds: float = 20
    links: dict[str, str] = field(default_factory=dict)


def read_attack(name: str) -> Attack:
    """The attack of this name."""
    return Attack(**yaml.safe_load((ATTACKS / name / "attack.yaml").read_text(encoding="utf-8")))


@dataclass
class Outcome:
    """What came of it: each command that ran, the plan as JSON, and the harm that was done."""

    finished: list[Finished] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    harm: set[str] = field(default_factory=set)

    @property
    def last(self) -> Finished:
        """The command it ended with."""
        return self.finished[-1]

    @property
    def errors(self) -> str:
        """Everything the last command complained about."""
        return "\n".join([self.last.first_error, *(error.sentence for error in self.last.errors)])


class OrdinaryUser(Sandbox):
    """The sandbox as a worker makes it that is not root, made by root."""

    USER = 65_534
    BECOME = ("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

    @property
    def kind(self) -> Kind:
        """Always that."""
        return "user namespace"

    @contextlib.contextmanager
    def _contained(self, kind: Kind, box: Box, command: Sequence[str]) -> Iterator[Contained]:
        with super()._contained(kind, box, command) as contained:
            give([*private_tree(box.folder), *box.writable, *box.private], self.USER)
            yield replace(contained, command=[*self.BECOME, *contained.command])


class Host:
    """A data folder with a neighbour's run in it, a victim, services that listen, and one run of our own.

    `owner` is the user everything belongs to, where that is not us.
    """

    def __init__(self, folder: Path, owner: int | None = None) -> None:
        self.mark = str(80_000 + secrets.randbelow(10_000) + secrets.randbelow(10**6) / 10**6)
        self.data = folder / "data"
        self.run = self.data / "runs" / "1-1"
        self.module = self.run / "module"
        self.warm = self.data / "warm"
        self.connections: list[object] = []
        self.abstract = f"attacked-{self.mark}"
        self._closing = contextlib.ExitStack()
        self._fill()
        self.victim = subprocess.Popen(["sleep", "3000"], env={"SECRET_KEY": "CANARY-environment"}, user=owner)
        self.port = self._listen()
        if owner is not None:
            give(private_tree(self.data), owner)
        self._untouched: dict[str, object] = {}

    def close(self) -> None:
        """End everything of it, and what an attack left."""
        self._closing.close()
        self.victim.kill()
        self.victim.wait()
        for pid in self._marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def put(self, name: str, attack: Attack, terraform: Path, folder: Path) -> None:
        """Write the attack's module with the names of this host in it."""
        known = {
            "@DATA@": str(self.data),
            "@WARM@": str(self.warm),
            "@PORT@": str(self.port),
            "@VICTIM@": str(self.victim.pid),
            "@SOCKET@": self.abstract,
            "@MARK@": self.mark,
            "@TERRAFORM@": str(terraform),
        }

        def told(text: str) -> str:
            for word, meaning in known.items():
                text = text.replace(word, meaning)
            return text

        for path in (ATTACKS / name).rglob("*"):
            if path.is_file() and path.name not in SETTINGS:
                target = folder / path.relative_to(ATTACKS / name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(told(path.read_text(encoding="utf-8")), encoding="utf-8")
        for link, to in attack.links.items():
            (folder / link).symlink_to(told(to))

    def suffer(self, name: str, sandbox: Sandbox, *, plan_only: bool = False) -> Outcome:
        """Run the attack with both gates open, and say what came of it."""
        attack = read_attack(name)
        terraform = Terraform(
            find_terraform("", self.data), sandbox=sandbox, limits=Limits(**{"processes": 400, **attack.limits})
        )
        self.put(name, attack, terraform.binary, self.module)
        variables, plan = self.run / "variables.tfvars.json", self.run / "plan.bin"
        variables.write_text("{}", encoding="utf-8")
        shared = None if attack.does == "init" else self.warm / ".terraform"
        env = terraform.environment(self.run, data_dir=shared, extra={})
        self._untouched = self._look()
        outcome = Outcome()

        def planned(**options: bool) -> Finished:
            return terraform.plan(
                self.module, var_file=variables, out=plan, env=env, timeout=attack.seconds, watch=Unwatched(), **options
            )

        def applied() -> Finished:
            return terraform.apply(self.module, plan, env=env, timeout=attack.seconds, grace=0.5)

        steps: dict[str, list[Callable[[], Finished]]] = {
            "init": [lambda: terraform.init(self.module, env=env, timeout=attack.seconds), planned, applied],
            "plan": [planned],
            "apply": [planned, applied],
            "destroy": [planned, applied, lambda: planned(destroy=True), applied],
        }
        for step in steps[attack.does]:
            outcome.finished.append(step())
            if not outcome.last.succeeded:
                break
            if step is planned and not outcome.plan:
                with contextlib.suppress(UpstreamError):
                    outcome.plan = terraform.show_plan(self.module, plan, env=env, timeout=30)
                if plan_only:
                    break
        outcome.harm = set(self._harm(outcome))
        return outcome

    def said(self) -> str:
        """Everything Terraform wrote, to tell a contained attack from one that never began."""
        return "".join((self.module / name).read_text("utf-8", "replace") for name in ("stdout", "stderr"))

    def _harm(self, outcome: Outcome) -> Iterator[str]:
        texts = [json.dumps(outcome.plan), *map(str, outcome.finished), *self._left_to_read()]
        if any(word in text for word in LOOT for text in texts):
            yield "loot"
        if self.connections:
            yield "net"
        if self.victim.poll() is not None:
            yield "victim"
        if self._look() != self._untouched:
            yield "changed"
        if self._marked():
            yield "left"
        if any(self._special()):
            yield "special"

    def _left_to_read(self) -> Iterator[str]:
        for path in islice(self.module.rglob("*"), MOST_FILES):
            with contextlib.suppress(OSError):
                if path.is_file():
                    with path.open("rb") as file:
                        yield file.read(MOST_READ).decode("utf-8", "replace")

    def _special(self) -> Iterator[Path]:
        """What only a fool would open: links, pipes, devices, programs that make anybody root."""
        for path in islice(self.module.rglob("*"), MOST_FILES):
            found = path.lstat()
            planned = ".terraform" in path.parts or path.name in read_links(self.module)
            if not planned and not (S_ISREG(found.st_mode) or S_ISDIR(found.st_mode)):
                yield path
            if found.st_mode & S_ISUID:
                yield path

    def _look(self) -> dict[str, object]:
        """Everything in the data folder that is not this run's to change."""
        others = (self.data / "runs/77-1", self.data / "planted", self.warm)
        watched = [path for folder in others for path in folder.rglob("*") if path.is_file()]
        watched += [self.run / name for name in ("variables.tfvars.json", "terraform.rc")]
        watched += [path for path in self.data.iterdir() if path.is_file()]
        return {str(path): path.read_bytes() for path in watched}

    def _marked(self) -> list[int]:
        """Processes that carry our mark."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                    found.append(int(path.parent.name))
        return found

    def _fill(self) -> None:
        other = self.data / "runs" / "77-1" / "module"
        planted = self.data / "planted"
        for folder in (other, planted, self.module, self.warm / ".terraform"):
            folder.mkdir(parents=True)
        self.data.chmod(0o700)
        (self.data / "seal_keys").write_text("CANARY-key", encoding="ascii")
        (self.data / "CANARY-name").write_text("", encoding="ascii")
        (planted / "main.tf").write_text('output "loot" {\n  value = "CANARY-module"\n}\n', encoding="ascii")
        state = {"version": 4, "serial": 1, "lineage": "x", "terraform_version": "1.0.0", "resources": []}
        state["outputs"] = {"secret": {"value": "CANARY-state", "type": "string"}}
        (other / "terraform.tfstate").write_text(json.dumps(state), encoding="ascii")
        for path in self.data.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        (self.warm / ".terraform").chmod(0o755)

    def _listen(self) -> int:
        """Services by port, by socket file and by abstract name; each greets with a secret."""
        tcp = self._closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        by_file = self._closing.enter_context(socket.socket(socket.AF_UNIX))
        with contextlib.chdir(self.data):  # the name may be too long for a socket otherwise
            by_file.bind("service.sock")
        by_name = self._closing.enter_context(socket.socket(socket.AF_UNIX))
        by_name.bind("\0" + self.abstract)
        for server in (tcp, by_file, by_name):
            server.listen(8)
            thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
            thread.start()
            self._closing.callback(thread.join)
            self._closing.callback(_wake, server)
        return int(tcp.getsockname()[1])

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.connections.append(server)
                connection.sendall(b"CANARY-service\n")


def read_links(module: Path) -> set[str]:
    """Links the attack brought along itself."""
    return {"harmless.txt"} if (module / "harmless.txt").is_symlink() else set()


def _wake(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)


def copy_of(name: str, attack: Attack, host: Host, folder: Path) -> Path:
    """The attack as a module somebody hands in."""
    target = folder / "handed-in"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    host.put(name, attack, Path("/usr/bin/terraform"), target)
    (target / "offer.yaml").write_text(OFFER, encoding="utf-8")
    return target
