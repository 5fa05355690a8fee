"""Read what a program writes to a file, line by line, while it goes on writing."""

import datetime as dt
import os
from dataclasses import dataclass
from typing import Any

from opsplatform.core.db import now

CHUNK_BYTES = 1 << 20
MOST_BYTES = 64 << 20
CUT = b"(it wrote more than is kept; the rest is left out)"


@dataclass(frozen=True)
class LogLine:
    """One complete line of output; `message` is what it says to a program, where it does."""

    stream: str
    text: str
    at: dt.datetime
    message: dict[str, Any] | None = None


class Tail:
    """The complete lines that are added to an open file from now on; 64 MB are read, however much is written."""

    def __init__(self, descriptor: int, stream: str) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._offset = os.fstat(descriptor).st_size
        self._room = MOST_BYTES
        self._partial: list[bytes] = []
        self._ended = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def end(self) -> None:
        """Say that nothing will be added, so that an unfinished last line counts as one."""
        self._ended = True

    def read(self) -> list[LogLine]:
        """The lines that were completed since the last call."""
        at = now()
        return [LogLine(self._stream, raw.decode("utf-8", "replace").rstrip("\r"), at) for raw in self._new_lines()]

    def _new_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        while chunk := os.pread(self._descriptor, min(CHUNK_BYTES, self._room), self._offset):
            self._offset += len(chunk)
            self._room -= len(chunk)
            *complete, rest = chunk.split(b"\n")
            if complete:
                complete[0] = b"".join([*self._partial, complete[0]])
                self._partial = []
                lines += complete
            self._partial.append(rest)
        if self._ended and any(self._partial):
            lines.append(b"".join(self._partial))
            self._partial = []
        if self._ended and not self._room:
            lines.append(CUT)
        return lines
