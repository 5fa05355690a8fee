"""Follow a running Terraform: log lines and progress into the database, stop requests out of it."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import insert, select, update

from opsplatform.adapters.terraform import LogLine
from opsplatform.adapters.terraform_events import render
from opsplatform.core import leases
from opsplatform.core.db import db, reading, transaction
from opsplatform.core.errors import Conflict, NoPermission
from opsplatform.core.leases import Lease
from opsplatform.core.masking import Scrubber
from opsplatform.runs.journal import Journal
from opsplatform.runs.models import Run, RunLogLine, RunProgress
from opsplatform.runs.workdir import Workdir
from opsplatform.states import service as states

FLUSH_SECONDS = 0.5
FLUSHES = 2  # after the last line, because Terraform writes its state only after it has spoken
ASK_SECONDS = 1.0
LONGEST_LINE = 8_000


class RunWatch:
    """What the Terraform adapter reports to while it works for one run.

    A short run is written with its outcome in one transaction (`save`); a longer one as it goes.
    """

    def __init__(self, lease: Lease, scrubber: Scrubber, *, workdir: Workdir, mirror: bool) -> None:
        self._lease = lease
        self._scrubber = scrubber
        self._workdir = workdir
        self._mirror = mirror
        self._waiting: list[LogLine] = []
        self._flushed_at = self._asked_at = self._begun_at = time.monotonic()
        self._stop = False
        self._flushes_due = 0
        self._mirrored: bytes | None = None
        self.progress = Journal()

    def started(self, pid: int, start_time: str) -> None:
        """Leave a note of the process in the run's folder, so that it can be found when this worker is gone."""
        self._workdir.note_process(pid, start_time)

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Take new output; write it when the last writing is a while ago."""
        for line in lines:
            self.progress.take(line.message)
        self._waiting.extend(lines)
        self._flushes_due = FLUSHES
        self._flush_when_due()

    def wants_stop(self) -> bool:
        """Whether a person wants it to stop, or another worker took over."""
        if self._lease.lost.is_set():
            return True
        self._flush_when_due()  # Terraform may say nothing for minutes; what it said last must not wait for that
        if not self._stop and time.monotonic() - self._asked_at >= ASK_SECONDS:
            self._asked_at = time.monotonic()
            with reading():
                self._stop = self._read_stop()
        return self._stop

    def clean(self, text: str) -> str:
        """A text of Terraform's or a provider's without the secrets of this run."""
        return self._scrubber.clean(text)

    def save(self) -> None:
        """Write what waits, inside the open transaction."""
        self._flushed_at = time.monotonic()
        run_id = self._lease.row_id
        last = db.session.scalar(select(RunProgress.last_line).where(RunProgress.run_id == run_id)) or 0
        rows = [
            {"run_id": run_id, "n": n, "at": line.at, "stream": line.stream, "text": self._clean(line)}
            for n, line in enumerate(self._waiting, last + 1)
        ]
        if rows:
            db.session.execute(insert(RunLogLine), rows)
        self._waiting = []
        values: dict[str, Any] = {"last_line": last + len(rows), "version": RunProgress.version + 1}
        values["resources"] = self.progress.resources()
        values["seconds"] = time.monotonic() - self._begun_at
        db.session.execute(update(RunProgress).where(RunProgress.run_id == run_id).values(**values))

    def _flush_when_due(self) -> None:
        if not self._flushes_due or time.monotonic() - self._flushed_at < FLUSH_SECONDS:
            return
        self._flushes_due -= 1
        with transaction():
            leases.check(self._lease)
            self.save()
            self._save_state()

    def _save_state(self) -> None:
        """Mirror the state Terraform keeps in the folder, so that the death of this host loses little."""
        content = self._workdir.read_state() if self._mirror else None
        if content is None or content == self._mirrored:
            return
        with suppress(Conflict, NoPermission):  # caught in the middle of a write; the next look finds it whole
            states.store(db.session.get_one(Run, self._lease.row_id).workspace, content, run_id=self._lease.row_id)
            self._mirrored = content

    def _clean(self, line: LogLine) -> str:
        return self.clean(render(line.text, line.message))[:LONGEST_LINE].replace("\x00", "�")

    def _read_stop(self) -> bool:
        row = db.session.execute(select(Run.cancel_requested_by, Run.fence).where(Run.id == self._lease.row_id)).one()
        if row.fence != self._lease.fence:
            self._lease.lost.set()
        return row.cancel_requested_by is not None or self._lease.lost.is_set()
