"""The memory of the local cloud: every change it accepted, in the order it accepted them, for ever.

One JSON object a line, appended in a single write before the change is answered. Nothing is ever taken out, not by a
restart of the server and not by a reset of its faults, so a test can prove what was really done and how often.
"""

import datetime as dt
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

API = "api"
BEHIND = "behind Terraform's back"


@dataclass(frozen=True)
class Entry:
    """One accepted change: `op` is create, update or delete; `attributes` is what it set."""

    n: int
    at: str
    op: str
    id: str
    by: str
    token: str
    request_id: str
    label: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """An append-only file of entries, with all of them in memory as well."""

    def __init__(self, path: Path) -> None:
        self._entries = [Entry(**json.loads(line)) for line in _lines(path)]
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._guard = threading.Lock()

    def add(self, op: str, object_id: str, **facts: Any) -> Entry:
        """Write an entry down; once this returns it outlives the server."""
        with self._guard:
            at = dt.datetime.now(dt.UTC).isoformat()
            entry = Entry(n=len(self._entries) + 1, at=at, op=op, id=object_id, **facts)
            os.write(self._file, json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
            self._entries.append(entry)
        return entry

    def entries(self) -> Sequence[Entry]:
        """Everything that was ever accepted, oldest first."""
        with self._guard:
            return tuple(self._entries)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
