"""A place to run a program in from which nothing of the host can be seen, reached or changed but what it is given.

bubblewrap makes it: namespaces of its own for processes, mounts, network and the rest, system folders read-only, a
fresh /tmp and /proc, no privileges. Whether that works here is found out by doing it once.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from opsplatform.adapters.process_limits import MB, Limits
from opsplatform.adapters.sandbox_files import give, private_tree, tidy, user_of
from opsplatform.adapters.sandbox_relay import Relay, Way
from opsplatform.adapters.sandbox_syscalls import call_filter
from opsplatform.core.errors import UpstreamError

Mode = Literal["auto", "required", "off"]
Kind = Literal["own user", "user namespace"]

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
NETWORK_FILES = (
    "/etc/ca-certificates", "/etc/gai.conf", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/pki",
    "/etc/resolv.conf", "/etc/services", "/etc/ssl",
)  # fmt: skip
DEVICES = ("null", "zero", "random", "urandom")
STREAMS = (("self/fd", "fd"), ("self/fd/0", "stdin"), ("self/fd/1", "stdout"), ("self/fd/2", "stderr"))
TEMPORARY_BYTES = 128 * MB
PROBE_SECONDS = 20
INSTALL = (
    "install bubblewrap 0.8 or later (apt-get install bubblewrap) and allow user namespaces, or run the worker as root"
)


@dataclass(frozen=True)
class Box:
    """What a program in the sandbox is given; everything keeps the path it has outside.

    Attributes:
        folder: where it works; may be written.
        writable: single files it may write besides.
        fixed: files inside the folder that it may not touch, because we write them.
        private: files only we can read, which it may read too.
        readable: files and folders that are there for all to read; what does not exist is left out.
        network: whether it has the host's network.
        way: the only address it can reach without; None for none at all.
        links: whether it may make symbolic links.
    """

    folder: Path
    writable: Sequence[Path] = ()
    fixed: Sequence[Path] = ()
    private: Sequence[Path] = ()
    readable: Sequence[Path] = ()
    network: bool = False
    way: Way | None = None
    links: bool = False


@dataclass(frozen=True)
class Contained:
    """A command as it must be started, with descriptors to hand to it and what to call with its number once it runs.

    `inside` says that the sandbox is around it; `env` then changes its environment.
    """

    command: list[str]
    descriptors: tuple[int, ...] = ()
    begun: Callable[[int], None] | None = None
    inside: bool = False
    env: dict[str, str] = field(default_factory=dict)


class Sandbox:
    """The sandbox of this host, as the setting OPS_SANDBOX wants it."""

    def __init__(self, mode: Mode = "auto") -> None:
        self.mode = mode
        self._guard = threading.Lock()
        self._why_not = ""

    @property
    def kind(self) -> Kind | None:
        """How programs are contained; None when they are not."""
        if self.mode == "off":
            return None
        with self._guard:
            return self._found

    def report(self) -> tuple[bool | None, str]:
        """Whether it is in force (None: not wanted or not to be had), and what to do."""
        kind = self.kind
        if kind:
            calls = "system calls filtered" if call_filter(links=False) else "system calls of this machine not filtered"
            return True, f"in force: {self._program}, {kind}, {calls}; network only with credentials or for the state"
        if self.mode == "off":
            return None, "not in force: OPS_SANDBOX is off, modules run with the worker's rights"
        return (False if self.mode == "required" else None), f"not in force: {self._why_not}; {INSTALL}"

    @contextmanager
    def around(self, box: Box, command: Sequence[str], limits: Limits) -> Iterator[Contained]:
        """The command with limits, in the sandbox where there is one; UpstreamError when it is required and missing."""
        kind = self.kind
        if kind is None and self.mode == "required":
            raise UpstreamError("terraform", f"OPS_SANDBOX requires a sandbox: {self._why_not}; {INSTALL}.")
        if kind is None:
            yield Contained([*limits.prefix(own_user=False), *command])
            return
        with self._contained(kind, box, [*limits.prefix(own_user=True), *command]) as contained:
            yield contained

    @contextmanager
    def _contained(self, kind: Kind, box: Box, command: Sequence[str]) -> Iterator[Contained]:
        user = user_of(box.folder) if kind == "own user" else None
        _hand_over(box, user)
        with ExitStack() as stack:
            calls = stack.enter_context(_descriptor(call_filter(links=box.links)))
            hosts = stack.enter_context(_descriptor(box.way.hosts if box.way else b""))
            relay = stack.enter_context(closing(Relay(box.way, join_user=user is None))) if box.way else None
            words = [self._program, *_namespaces(kind, box), *_files(box, hosts), "--chdir", str(box.folder)]
            words += ["--disable-userns"] * (user is None) if calls is None else ["--seccomp", str(calls)]
            words += relay.words if relay else []
            handed = (calls, hosts, *(relay.descriptors if relay else ()))
            yield Contained(
                [*words, "--", *_as_user(user), *command],
                descriptors=tuple(each for each in handed if each is not None),
                begun=relay.begin if relay else None,
                inside=True,
                env=INSIDE,
            )
        tidy(() if box.links else (box.folder,), box.writable)

    @cached_property
    def _program(self) -> str:
        return shutil.which("bwrap") or ""

    @cached_property
    def _found(self) -> Kind | None:
        if not self._program:
            self._why_not = "bubblewrap is not installed"
            return None
        # Root stays root for the host's files inside a user namespace, so it has to become somebody else instead.
        kind: Kind = "own user" if os.geteuid() == 0 else "user namespace"
        return kind if self._works(kind) else None

    def _works(self, kind: Kind) -> bool:
        """Really run something in it."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            proof = folder / "proof"
            command = [*Limits().prefix(own_user=True), "/bin/sh", "-c", "echo done > proof; test ! -e /etc/passwd"]
            with self._contained(kind, Box(folder), command) as contained:
                done = subprocess.run(
                    contained.command,
                    cwd=folder,
                    env={"PATH": "/usr/bin:/bin"},
                    pass_fds=contained.descriptors,
                    capture_output=True,
                    text=True,
                    timeout=PROBE_SECONDS,
                    check=False,
                )
            if done.returncode == 0 and proof.is_file():
                return True
        self._why_not = (done.stderr.strip().splitlines() or ["bubblewrap does not work here"])[-1]
        return False


INSIDE = {"HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108 - the sandbox's own


def _namespaces(kind: Kind, box: Box) -> list[str]:
    # As number 1 inside, the program is waited for by bubblewrap itself, and takes everything with it when it ends.
    words = ["--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--cap-drop", "ALL"]
    if kind == "own user":
        for each in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH"):
            words += ["--cap-add", each]  # until it becomes that user; no new privileges are ever gained after that
    else:
        words += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    return words if box.network else [*words, "--unshare-net"]


def _hand_over(box: Box, user: int | None) -> None:
    """Make everything it may write or read its own, and what it is to make exist."""
    for path in box.writable:
        path.touch(mode=0o600)
    if user is not None:
        give([*box.writable, *box.private], user)
        give(private_tree(box.folder, besides=box.fixed), user)


def _files(box: Box, hosts: int | None) -> list[str]:
    """Everything there is to see, each thing after what it lies in."""
    words = ["--size", str(TEMPORARY_BYTES), "--perms", "1777", "--tmpfs", "/tmp", "--proc", "/proc"]  # noqa: S108
    words += [*_system(), *_given(box), *_devices()]
    if hosts is not None:
        words += ["--perms", "0444", "--ro-bind-data", str(hosts), "/etc/hosts"]
    return [*words, "--remount-ro", "/"]


def _system() -> list[str]:
    words: list[str] = []
    for folder in map(Path, SYSTEM_FOLDERS):
        if folder.is_symlink():
            words += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            words += ["--ro-bind", str(folder), str(folder)]
    return words


def _is_of_the_system(path: Path) -> bool:
    """Whether it can be seen anyway."""
    return any(path.is_relative_to(folder) for folder in SYSTEM_FOLDERS)


def _given(box: Box) -> list[str]:
    shared = [*SYSTEM_FILES, *(NETWORK_FILES if box.network or box.way else ())]
    if box.network:
        shared.append("/etc/hosts")
    given = {
        "--ro-bind-try": [*map(Path, shared), *(path for path in box.readable if not _is_of_the_system(path))],
        "--bind": [box.folder, *box.writable],
        "--ro-bind": [*box.private, *box.fixed],
    }
    parents = dict.fromkeys(str(path.parent) for paths in given.values() for path in paths)
    words = [word for parent in parents for word in ("--dir", parent)]  # else each is made for bubblewrap's user alone
    for option, paths in given.items():
        for path in map(str, paths):
            words += [option, path, path]
    return words


def _devices() -> list[str]:
    words = ["--dir", "/dev"]
    for name in DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, name in STREAMS:
        words += ["--symlink", f"/proc/{target}", f"/dev/{name}"]
    return words


def _as_user(user: int | None) -> list[str]:
    if user is None:
        return []
    number = str(user)
    options = ("--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    return ["/usr/bin/setpriv", "--reuid", number, "--regid", number, *options]


@contextmanager
def _descriptor(content: bytes) -> Iterator[int | None]:
    """An open file that holds this, for a child to read; None for nothing."""
    if not content:
        yield None
        return
    descriptor = os.memfd_create("filter")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
