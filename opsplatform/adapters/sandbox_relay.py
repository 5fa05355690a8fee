"""One way out of a sandbox that has no network: to the address where the platform keeps Terraform's state.

A socket that listens belongs to the network in which it was made, whoever holds it. So a short-lived child makes one
inside the sandbox, on the very address the program will call, and hands it to us; we carry what arrives there to the
same address outside. The sandbox waits until that is ready.
"""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from opsplatform.adapters.process_stop import wait_readable
from opsplatform.adapters.process_table import kill_session
from opsplatform.core.errors import UpstreamError

LISTEN_SECONDS = 10
CONNECT_SECONDS = 10
ENDING_SECONDS = 0.5
MOST_CONNECTIONS = 16
CHUNK_BYTES = 1 << 16
CHILD = re.compile(rb'"child-pid": (\d+)')
# Without imports that take time: it listens, hands the socket over, and ends.
LISTENER = """
import _socket, sys
at, port, to = sys.argv[1], int(sys.argv[2]), _socket.socket(fileno=int(sys.argv[3]))
listener = _socket.socket()
listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
listener.bind((at, port))
listener.listen(16)
number = listener.fileno().to_bytes(4, sys.byteorder)
to.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number)])
"""


@dataclass(frozen=True)
class Way:
    """The one address that can be reached; `at` is the loopback address that stands for it inside."""

    host: str
    port: int
    at: str

    @property
    def hosts(self) -> bytes:
        """/etc/hosts inside."""
        return f"127.0.0.1 localhost\n{self.at} {self.host}\n".encode()


def way_to(url: str) -> Way | None:
    """How to reach this address from inside; None when it is a number that means nothing there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        number = ip_address(host)
    except ValueError:
        return Way(host, port, "127.0.0.1")
    return Way(host, port, host) if number.is_loopback and number.version == 4 else None  # noqa: PLR2004 - IPv4


class Relay:
    """Carries connections out of one sandbox, as long as it is open."""

    def __init__(self, way: Way, *, join_user: bool) -> None:
        self._way = way
        self._join_user = join_user
        self._told, self._tells = os.pipe()
        self._waits, self._releases = os.pipe()
        self._listener: socket.socket | None = None
        self._room = threading.Semaphore(MOST_CONNECTIONS)

    @property
    def words(self) -> list[str]:
        """What makes bubblewrap tell us who it is and wait for us."""
        return ["--info-fd", str(self._tells), "--block-fd", str(self._waits)]

    @property
    def descriptors(self) -> tuple[int, int]:
        """What it needs for that."""
        return self._tells, self._waits

    def begin(self, pid: int) -> None:
        """Listen inside the sandbox of this process, then let it go on."""
        os.close(self._tells)
        self._tells = -1
        inside = self._who_is_inside()
        try:
            if inside is not None:  # else it has ended, and its own words say why
                self._listener = self._listen(inside)
                threading.Thread(target=self._serve, args=(self._listener,), name=f"relay-{pid}", daemon=True).start()
        except (OSError, subprocess.SubprocessError) as error:
            if not _ends(pid):
                kill_session(pid)
                raise UpstreamError("terraform", f"sandbox: its way to the state cannot be made ({error}).") from error
        os.write(self._releases, b".")

    def close(self) -> None:
        """Carry nothing any more."""
        for descriptor in (self._told, self._tells, self._waits, self._releases):
            if descriptor >= 0:
                os.close(descriptor)
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for a connection
            self._listener.close()

    def _who_is_inside(self) -> int | None:
        text = b""
        while chunk := os.read(self._told, 4096):
            text += chunk
            if found := CHILD.search(text):
                return int(found[1])
        return None

    def _listen(self, inside: int) -> socket.socket:
        join = [f"--user=/proc/{inside}/ns/user", "--preserve-credentials"] if self._join_user else []
        python = os.path.realpath(sys.executable)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            where = [self._way.at, str(self._way.port), str(theirs.fileno())]
            subprocess.run(
                ["/usr/bin/nsenter", *join, f"--net=/proc/{inside}/ns/net", python, "-ISBc", LISTENER, *where],
                env={},
                pass_fds=[theirs.fileno()],
                capture_output=True,
                timeout=LISTEN_SECONDS,
                check=True,
            )
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                inner, _ = listener.accept()
            except OSError:  # closed
                return
            if self._room.acquire(blocking=False):
                threading.Thread(target=self._carry, args=(inner,), name="relayed", daemon=True).start()
            else:
                inner.close()

    def _carry(self, inner: socket.socket) -> None:
        with closing(inner), suppress(OSError):
            outer = socket.create_connection((self._way.host, self._way.port), timeout=CONNECT_SECONDS)
            outer.settimeout(None)
            with closing(outer):
                back = threading.Thread(target=_pump, args=(outer, inner), name="relayed-back", daemon=True)
                back.start()
                _pump(inner, outer)
                back.join()
        self._room.release()


def _ends(pid: int) -> bool:
    """Whether this child of ours, which waits for us, has ended instead."""
    descriptor = os.pidfd_open(pid)
    try:
        return wait_readable(descriptor, ENDING_SECONDS)
    finally:
        os.close(descriptor)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
