"""Start several of our own processes, watch them, and stop all together."""

import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from opsplatform.core.errors import UpstreamError

STOP_SECONDS = 35.0
NOWHERE = subprocess.DEVNULL


class Fleet:
    """Child processes that live and end together; `stdout` is where what they print goes, ours unless given."""

    def __init__(self, folder: Path, *, stdout: int | None = None) -> None:
        self._folder = folder
        self._stdout = stdout
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a child in a process group of its own, so that Ctrl-C reaches only us and we stop it in order."""
        self._children[name] = subprocess.Popen(
            list(command),
            cwd=self._folder,
            env=dict(env) if env is not None else None,
            stdout=self._stdout,
            process_group=0,
        )

    def watch(self, stop: threading.Event) -> int:
        """Wait until `stop` is set or a child ends; stop the others; 0 when it was asked for, else the child's code."""
        while not stop.wait(0.2):
            for child in self._children.values():
                if child.poll() is not None:
                    self.stop()
                    return child.returncode or 1  # one that ends by itself takes the whole with it
        self.stop()
        return 0

    def call(self, command: Sequence[str], env: Mapping[str, str] | None = None, *, given: str = "") -> None:
        """Run a command of ours to its end; UpstreamError when it fails, after it has said why."""
        done = subprocess.run(
            list(command),
            cwd=self._folder,
            env=dict(env) if env is not None else None,
            input=given.encode(),
            stdout=self._stdout,
            check=False,
        )
        if done.returncode:
            raise UpstreamError("opsplatform", f"{' '.join(command[1:3])} ended with code {done.returncode}")

    def check(self) -> None:
        """UpstreamError when a child has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise UpstreamError("opsplatform", f"the process {name} ended with code {child.returncode}")

    def pids(self) -> dict[str, int]:
        """The process id of each child."""
        return {name: child.pid for name, child in self._children.items()}

    def wait(self, name: str, seconds: float) -> int:
        """The code a child ends with; UpstreamError when it does not end in time."""
        try:
            return self._children[name].wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise UpstreamError("opsplatform", f"the process {name} did not end within {seconds} s") from error

    def stop_one(self, name: str) -> int:
        """Ask one child to end, and wait for it; answers its code."""
        self._children[name].send_signal(signal.SIGTERM)
        return self.wait(name, STOP_SECONDS)

    def stop(self) -> None:
        """Ask every child to end, and make it when it does not in time."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stopped_by_signal() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
