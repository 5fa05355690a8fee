"""The job queue: it wakes a worker, and nothing more. The only module that imports the engine, Huey.

The database is the truth: a row is committed before its id is enqueued, and a sweeper enqueues again what nobody
picked up. So a message may be lost, doubled or late. Embedded, the queue is a SQLite file in the data folder with a
named pipe beside it, so that a waiting worker starts at once and an idle one sleeps; with BROKER_URL it is Redis.
"""

import errno
import json
import logging
import os
import select
import signal
import sqlite3
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, current_app
from huey import PriorityRedisHuey, SqliteHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import PriorityRedisStorage, SqliteStorage
from redis import ConnectionPool, RedisError

from opsplatform.core.crew import Crew
from opsplatform.core.db import after_commit
from opsplatform.core.leases import LeaseLost
from opsplatform.core.logs import about
from opsplatform.core.metrics import TASK_SECONDS, WAIT_SECONDS, timed

log = logging.getLogger(__name__)

LONGEST_SLEEP = 1.0
BROKER_PATIENCE = 0.15  # seconds Redis gets to take a message; whoever answers DingTalk waits for it
GRACE_SECONDS = 30
BUSY = 100

Task = Callable[..., None]


class JsonMessages(Serializer):
    """Messages are JSON, never pickles: whoever can write to the broker must not run code here."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Message:
        return Message(*json.loads(data))


class WakingStorage(SqliteStorage):
    """The file queue with a named pipe: one byte for one message, so that waiting costs no polling."""

    blocking = True

    def __init__(self, *args: Any, pipe: str, **kwargs: Any) -> None:  # noqa: ANN401 - the engine's signature
        super().__init__(*args, **kwargs)
        with suppress(FileExistsError):
            os.mkfifo(pipe, 0o600)
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._pipe)

    def _create_connection(self) -> Any:  # noqa: ANN401 - the engine's signature
        connection = super()._create_connection()
        connection.execute("pragma synchronous=normal")  # the truth is elsewhere; the file stays whole
        return connection

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Store the message and wake one waiting thread."""
        super().enqueue(data, priority)
        with suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._pipe, b"!")

    def dequeue(self) -> bytes | None:
        """The next message, or None after a short while."""
        data: bytes | None = super().dequeue()
        if data is None and self._woken():
            data = super().dequeue()
        return data

    def _woken(self) -> bool:
        waiting = select.poll()  # not select(): it refuses numbers above 1023, which a busy process reaches
        waiting.register(self._pipe, select.POLLIN)
        if not waiting.poll(LONGEST_SLEEP * 1000):
            return False
        try:
            os.read(self._pipe, 1)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return False  # another thread took the byte
        return True


class HastyStorage(PriorityRedisStorage):
    """The queue on Redis: handing a message over may take a moment and no more, waiting for one may take longer."""

    def __init__(self, *args: Any, patient: ConnectionPool, **kwargs: Any) -> None:  # noqa: ANN401 - the engine's signature
        super().__init__(*args, **kwargs)
        self._patient = PriorityRedisStorage(self.name, connection_pool=patient, read_timeout=self.read_timeout)

    def dequeue(self) -> bytes | None:
        """The next message, or None after a short while."""
        data: bytes | None = self._patient.dequeue()
        return data


class _Plain:
    """Run a message and nothing else: no revocation, no result, no retry of the engine's own."""

    def execute(self, task: Any, _timestamp: object = None) -> None:  # noqa: ANN401 - the engine's task
        """Run it; what goes wrong is logged by the task itself."""
        task.execute()


class FileHuey(_Plain, SqliteHuey):
    """The embedded queue."""

    storage_class = WakingStorage


class NetHuey(_Plain, PriorityRedisHuey):
    """The queue on Redis."""

    storage_class = HastyStorage


class Queue:
    """The queue of one application with its table of tasks."""

    def __init__(self, app: Flask, tasks: Mapping[str, Task], *, broker_url: str, folder: Path) -> None:
        self._app = app
        self.tasks = dict(tasks)
        self.huey = _connect(broker_url, folder)
        self._is_worker = False
        self._crew = Crew()
        self._message = self.huey.task(name="run")(self._run)
        app.extensions["queue"] = self

    def put(self, task: str, values: dict[str, object], priority: int) -> None:
        """Hand a message to the engine; a broker that is down is logged, the sweeper will find the row."""
        try:
            self.huey.enqueue(self._message.s(task, values, time.time(), priority=priority))
        except (OSError, sqlite3.Error, RedisError):
            log.exception("could not wake a worker", extra={"task": task})

    def trouble(self) -> str | None:
        """Why the queue cannot be used; None when it can."""
        try:
            self.huey.pending_count()
        except (OSError, sqlite3.Error, RedisError) as error:
            return f"the queue does not answer ({type(error).__name__})"
        return None

    def is_busy(self) -> bool:
        """Whether so much waits that waking workers again would only add to it."""
        try:
            return int(self.huey.pending_count()) > BUSY
        except (OSError, sqlite3.Error, RedisError):
            return False

    def work(self, threads: int) -> None:
        """Run tasks until a signal says stop; tasks under way are finished, up to the grace."""
        self._is_worker = True
        consumer = _Worker(
            self.huey,
            workers=threads,
            periodic=False,
            initial_delay=0.05,
            backoff=2.0,  # it only waits where the broker is away; each try leaves a traceback in the log
            max_delay=LONGEST_SLEEP,
            graceful_signal="TERM",
            shutdown_timeout=GRACE_SECONDS,
        )
        consumer.run()
        self._crew.wait(GRACE_SECONDS)

    def run_apart(self, name: str, call: Callable[[], None], **values: object) -> None:
        """Run `call` in a thread of its own, so that it keeps no message waiting; at once where this is no worker."""
        if self._is_worker:
            self._crew.run(partial(self._guarded, name, values, call))
        else:
            call()

    def _run(self, task: str, values: dict[str, object], sent_at: float = 0.0) -> None:
        function = self.tasks.get(task)
        if function is None:
            log.error("a message names no task of ours", extra={"task": task})
            return
        WAIT_SECONDS.labels(task).observe(max(0.0, time.time() - sent_at))
        self._guarded(task, values, partial(function, **values))

    def _guarded(self, task: str, values: Mapping[str, object], call: Callable[[], None]) -> None:
        with self._app.app_context(), about(task=task, **values):
            try:
                with timed(TASK_SECONDS, task):
                    call()
            except LeaseLost as error:
                log.warning("stopped: %s", error)
            except Exception:
                log.exception("a task failed; the sweeper will come back to its row")


class _Worker(Consumer):
    """The engine's consumer; Ctrl-C ends it as gently as TERM does."""

    def _set_signal_handlers(self) -> None:
        super()._set_signal_handlers()
        signal.signal(signal.SIGINT, lambda *_: self._handle_signal(signal.SIGTERM, None))


def enqueue(task: str, *, priority: int = 0, **values: object) -> None:
    """Wake a worker for a row, once the open transaction is committed."""
    queue: Queue = current_app.extensions["queue"]
    if task not in queue.tasks:
        raise KeyError(task)
    after_commit(lambda: queue.put(task, values, priority))


def run_apart(name: str, call: Callable[[], None], **values: object) -> None:
    """Run what takes long in a thread of its own; `values` say in the log what it is about."""
    queue: Queue = current_app.extensions["queue"]
    queue.run_apart(name, call, **values)


def is_busy() -> bool:
    """Whether the queue holds so much that a sweep had better wait."""
    queue: Queue = current_app.extensions["queue"]
    return queue.is_busy()


def _connect(broker_url: str, folder: Path) -> Any:  # noqa: ANN401 - either kind of the engine
    if broker_url.startswith(("redis://", "rediss://")):
        return NetHuey(
            "opsplatform",
            connection_pool=_connections(broker_url, BROKER_PATIENCE),
            patient=_connections(broker_url, LONGEST_SLEEP + 1),
            results=False,
            serializer=JsonMessages(),
            read_timeout=LONGEST_SLEEP,
        )
    if broker_url:
        raise ValueError("BROKER_URL must be empty or begin with redis:// or rediss://")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileHuey(
        "opsplatform",
        results=False,
        serializer=JsonMessages(),
        filename=str(folder / "queue.db"),
        pipe=str(folder / "queue.wake"),
    )


def _connections(url: str, patience: float) -> ConnectionPool:
    return ConnectionPool.from_url(url, socket_connect_timeout=BROKER_PATIENCE, socket_timeout=patience)
