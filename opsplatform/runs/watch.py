"""Follow a running Terraform: log lines and progress into the database, stop requests out of it.

However much it says, a limited part of it is kept; what it says about a mistake always is.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import OperationalError

from opsplatform.adapters.process_limits import NOTHING
from opsplatform.adapters.terraform import LogLine
from opsplatform.adapters.terraform_events import render
from opsplatform.core import leases
from opsplatform.core.db import after_commit, db, in_transaction, reading
from opsplatform.core.errors import Conflict, NoPermission
from opsplatform.core.leases import Lease
from opsplatform.core.masking import Scrubber
from opsplatform.core.prebuilt import perform, table_of
from opsplatform.runs.journal import Journal
from opsplatform.runs.models import Run, RunLogLine, RunProgress
from opsplatform.runs.workdir import Workdir
from opsplatform.states import service as states

FLUSH_SECONDS = 0.5
FLUSHES = 2  # after the last line, because Terraform writes its state only after it has spoken
ASK_SECONDS = 1.0
LONGEST_LINE = 8_000
MOST_LINES = 50_000  # of one plan or apply
MOST_TEXT = 16 << 20  # characters
MOST_WAITING = 2_000  # lines in memory
CUT = "(it said more than is kept; from here on only errors and warnings are shown)"

PROGRESS = table_of(RunProgress)
OF_RUN = PROGRESS.c.run_id == bindparam("run")
LAST_LINE = select(PROGRESS.c.last_line).where(OF_RUN)
ADD_LINES = insert(table_of(RunLogLine))
SHOW = (
    update(PROGRESS)
    .where(OF_RUN)
    .values(
        last_line=bindparam("lines"),
        version=PROGRESS.c.version + 1,
        resources=bindparam("shown"),
        seconds=bindparam("took"),
    )
)

log = logging.getLogger(__name__)


class RunWatch:
    """What the Terraform adapter reports to while it works for one run.

    A short run is written with its outcome in one transaction (`save`); a longer one as it goes.
    """

    def __init__(self, lease: Lease, scrubber: Scrubber, *, workdir: Workdir, mirror: bool) -> None:
        self._lease = lease
        self._scrubber = scrubber
        self._workdir = workdir
        self._mirror = mirror
        self._waiting: list[dict[str, Any]] = []  # rows as they will be written, without their numbers
        self._lines_left, self._text_left = MOST_LINES, MOST_TEXT
        self._flushed_at = self._asked_at = self._begun_at = time.monotonic()
        self._pause_until = 0.0
        self._stop = False
        self._flushes_due = 0
        self._mirrored: bytes | None = None
        self.progress = Journal()
        self.used = NOTHING

    def started(self, pid: int, start_time: str) -> None:
        """Leave a note of the process in the run's folder, so that it can be found when this worker is gone."""
        self._workdir.note_process(pid, start_time)

    def lines(self, lines: Sequence[LogLine]) -> None:
        """Take new output; write it when the last writing is a while ago, or much of it waits."""
        self._flushes_due = FLUSHES
        for line in lines:
            self.progress.take(line.message)
            self._keep(line)
            if len(self._waiting) >= MOST_WAITING:
                self._flush()
        self._flush_when_due()

    def wants_stop(self) -> bool:
        """Whether a person wants it to stop, or another worker took over."""
        if self._lease.lost.is_set():
            return True
        self._flush_when_due()  # Terraform may say nothing for minutes; what it said last must not wait for that
        if not self._stop and time.monotonic() - self._asked_at >= ASK_SECONDS:
            self._asked_at = time.monotonic()
            with suppress(OperationalError), reading():  # nobody can stop or take over while the database is away
                self._stop = self._read_stop()
        return self._stop

    def clean(self, text: str) -> str:
        """A text of Terraform's or a provider's without the secrets of this run."""
        return self._scrubber.clean(text)

    def save(self) -> None:
        """Write what waits, inside the open transaction."""
        self._flushed_at = time.monotonic()
        run_id = self._lease.row_id
        last = perform(LAST_LINE, {"run": run_id}).scalar() or 0
        rows = [{"run_id": run_id, "n": n, **row} for n, row in enumerate(self._waiting, last + 1)]
        if rows:
            perform(ADD_LINES, rows)
        after_commit(partial(self._waiting.__delitem__, slice(len(rows))))
        shown = {"lines": last + len(rows), "shown": self.progress.resources()}
        perform(SHOW, {"run": run_id, "took": time.monotonic() - self._begun_at, **shown})

    def _flush_when_due(self) -> None:
        if not self._flushes_due or time.monotonic() - self._flushed_at < FLUSH_SECONDS:
            return
        self._flushes_due -= 1
        self._flush()

    def _flush(self) -> None:
        """Write what waits; while the database is away that goes on waiting, and Terraform goes on working."""
        if time.monotonic() < self._pause_until:
            return
        try:
            in_transaction(self._write)
        except OperationalError:
            self._pause_until = time.monotonic() + FLUSH_SECONDS
            self._flushes_due = FLUSHES
            log.warning("the database is away; what Terraform says waits for it")

    def _write(self) -> None:
        leases.check(self._lease)
        self.save()
        self._save_state()

    def _keep(self, line: LogLine) -> None:
        """Let a line wait to be written, unless too much was kept already and it tells of no mistake."""
        if _tells_of_a_mistake(line):
            self._wait(line, self._clean(line))
        elif self._lines_left > 0 and self._text_left > 0:
            text = self._clean(line)
            self._lines_left -= 1
            self._text_left -= len(text)
            self._wait(line, text)
            if self._lines_left <= 0 or self._text_left <= 0:
                self._wait(line, CUT)

    def _wait(self, line: LogLine, text: str) -> None:
        self._waiting.append({"at": line.at, "stream": line.stream, "text": text})

    def _save_state(self) -> None:
        """Mirror the state Terraform keeps in the folder, so that the death of this host loses little."""
        content = self._workdir.read_state() if self._mirror else None
        if content is None or content == self._mirrored:
            return
        with suppress(Conflict, NoPermission):  # caught in the middle of a write; the next look finds it whole
            states.store(db.session.get_one(Run, self._lease.row_id).workspace, content, run_id=self._lease.row_id)
            after_commit(partial(setattr, self, "_mirrored", content))

    def _clean(self, line: LogLine) -> str:
        return self.clean(render(line.text, line.message))[:LONGEST_LINE].replace("\x00", "�")

    def _read_stop(self) -> bool:
        row = db.session.execute(select(Run.cancel_requested_by, Run.fence).where(Run.id == self._lease.row_id)).one()
        if row.fence != self._lease.fence:
            self._lease.lost.set()
        return row.cancel_requested_by is not None or self._lease.lost.is_set()


def _tells_of_a_mistake(line: LogLine) -> bool:
    return line.message is not None and line.message.get("type") == "diagnostic"
