"""The passages of the platform at which dying makes a difference, found from the outside: the product knows of none.

A passage is the moment before or after a commit, a call of DingTalk, a message of the queue, the start or the end of a
Terraform, or a step in the files of a run. It is named by its place and by how often that place was passed before, so
that it is found again in another life, although threads and clocks never run twice alike.
"""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from sqlalchemy.engine.default import DefaultDialect

from opsplatform.adapters import admission, keeper, process, transport
from opsplatform.adapters.dingtalk import SYSTEM as DINGTALK
from opsplatform.adapters.terraform import ALLOWED
from opsplatform.core import queue
from opsplatform.runs import tasks, tickets, workdir
from tests.support import ROOT

PRODUCT = str(ROOT / "opsplatform")
STEPS = (
    (workdir, "render"),
    (workdir, "write_private"),
    (workdir, "warm"),
    (workdir.Workdir, "note_process"),
    (workdir.Workdir, "remove"),
    (tickets, "take"),
    (tickets, "close"),
    (admission.Ledger, "take"),
    (admission.Place, "give_back"),
    (tasks, "_copy_lock"),
)

Describe = Callable[..., str | None]


class Passages:
    """Counts what is passed, writes it down, and dies at the one it is told."""

    def __init__(self, record: Path, deadly: str | None = None) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._deadly = deadly
        self._seen: Counter[str] = Counter()
        self._guard = threading.Lock()

    def mark(self, place: str) -> None:
        """Pass a place, or die there as with kill -9."""
        with self._guard:
            self._seen[place] += 1
            name = f"{place} #{self._seen[place]}"
            os.write(self._record, name.encode() + b"\n")
            if name == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, describe: Describe, moments: tuple[str, ...] = ("before", "after")) -> None:
        """Mark a function before and after each call that `describe` has a name for."""
        original = getattr(owner, name)

        @wraps(original)
        def passed(*args: Any, **kwargs: Any) -> Any:
            place = describe(*args, **kwargs)
            if place and "before" in moments:
                self.mark(f"{place} before")
            answer = original(*args, **kwargs)
            if place and "after" in moments:
                self.mark(f"{place} after")
            return answer

        setattr(owner, name, passed)

    def watch(self, app: Flask) -> None:
        """Mark everything from now on, for as long as this process lives."""
        self.around(DefaultDialect, "do_commit", _commit)
        self.around(transport.Client, "_once", _call)
        self.around(queue.Queue, "put", lambda _queue, task, *_: f"queue: put {task}")
        self.around(queue._Plain, "execute", _message, ("before",))
        self.around(process, "_start", lambda job, *_: f"terraform: start of {command(job)}")
        self.around(keeper.Keeper, "watch", lambda *_: "terraform: the keeper is told", ("after",))
        self.around(process, "_follow", lambda _child, job, *_: f"terraform: end of {command(job)}", ("after",))
        for owner, name in STEPS:
            self.around(owner, name, _step(f"{owner.__name__.rpartition('.')[2]} {name.removeprefix('_')}"))
        app.after_request(self._answer)

    def _answer(self, response: Response) -> Response:
        if request.path == "/dingtalk/callback" or request.path.startswith("/terraform/"):
            self.mark(f"answer: {request.method} {request.path.split('/')[1]} before")
        return response


def count_applies(record: Path) -> None:
    """Write down the folder of every run for which a Terraform was started to apply."""
    original = process._start

    def started(job: process.Job, *args: Any) -> Any:
        child = original(job, *args)
        if command(job) == "apply":
            with record.open("a", encoding="utf-8") as file:
                file.write(f"{job.folder.parent.name}\n")
        return child

    process._start = started


def command(job: process.Job) -> str:
    """Which of its commands a Terraform is started with."""
    return next(word for word in job.command if word in ALLOWED)


def kind_of(passage: str) -> str:
    """What kind of passage it is."""
    return passage.partition(":")[0]


def _commit(*_args: object) -> str | None:
    """Where in the product the transaction is; heartbeats come when they like and are passed over."""
    if threading.current_thread().name == "heart":
        return None
    frame, core = sys._getframe(2), ""
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if path.startswith(PRODUCT):
            where = f"{path.removeprefix(PRODUCT + '/')} {name}"
            if not where.startswith("core/"):
                return f"commit: {where}"
            core = core or ("" if where.startswith("core/db.py") else where)
        frame = frame.f_back
    return f"commit: {core}" if core else None


def _call(client: transport.Client, call: transport._Call) -> str | None:
    return f"call: {call}" if client.system == DINGTALK else None


def _message(_engine: object, task: Any, *_: object) -> str:
    return f"queue: took {task.args[0]}"


def _step(name: str) -> Describe:
    def describe(*args: object) -> str:
        path = next((each for each in args if isinstance(each, Path)), None)
        return f"files: {name} {path.name}" if name.endswith("write_private") and path else f"files: {name}"

    return lambda *args, **_kwargs: describe(*args)
