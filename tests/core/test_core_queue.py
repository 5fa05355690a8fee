"""The queue wakes workers: in one process or through Redis, whatever happens to it."""

import errno
import json
import os
import pickle
import resource
import signal
import socket
import threading
import time

import pytest
from flask import Flask
from huey.storage import SqliteStorage
from redis import RedisError
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from opsplatform.approvals import inbox
from opsplatform.approvals.models import InboxEvent
from opsplatform.catalog import service as catalog
from opsplatform.core import queue as queue_module
from opsplatform.core import schedule
from opsplatform.core.db import db, transaction
from opsplatform.core.leases import LeaseLost
from opsplatform.core.queue import Queue, enqueue
from opsplatform.core.schedule import Periodic, ScheduleTick, run_scheduler
from opsplatform.notifications import service as notifications
from opsplatform.notifications.models import Notice
from opsplatform.runs import service as runs
from opsplatform.runs.models import Run
from opsplatform.runs.service import Applicant
from tests.miniatures import a_platform, an_event, count
from tests.support import SERVERS

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.server("redis"))])
def broker_url(request):
    return SERVERS.get(request.param, "")


@pytest.fixture
def make_queue(tmp_path, monkeypatch):
    """A queue with tasks of the test's own."""
    monkeypatch.setattr(queue_module, "LONGEST_SLEEP", 0.05)
    made = []

    def make(tasks=None, broker_url=""):
        queue = Queue(Flask("queue"), tasks or {}, broker_url=broker_url, folder=tmp_path / "queue")
        made.append(queue)
        if broker_url in SERVERS.values():
            queue.huey.flush()
        return queue

    yield make
    for queue in made:
        if isinstance(queue.huey.storage, SqliteStorage):
            queue.huey.storage.close()


def wait_for(holds, seconds=10.0):
    pause, until = threading.Event(), time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        pause.wait(0.005)
    return bool(holds())


def work_until(queue, holds, *, end=signal.SIGINT, threads=1):
    """Run the worker in this thread as `manage.py worker` does, and stop it from outside once `holds`."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    outcome = []

    def watch():
        outcome.append(wait_for(holds))
        wait_for(lambda: signal.getsignal(end) is not signal.SIG_IGN, 60.0)  # a worker that listens to it by now
        os.kill(os.getpid(), end)

    watcher = threading.Thread(target=watch)
    # Until the worker has taken the signals over, one that comes early must not end the tests.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    watcher.start()
    try:
        queue.work(threads)
    finally:
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    return outcome == [True]


def raw(queue):
    """The next message as it lies in the file."""
    return SqliteStorage.dequeue(queue.huey.storage)


class TestAStoryOnEitherQueue:
    """The embedded queue and Redis do the same."""

    def test_messages_reach_their_tasks_and_the_urgent_one_goes_first(self, make_queue, broker_url):
        done = []
        queue = make_queue({"note": lambda **values: done.append(values)}, broker_url)
        queue.put("note", {"run_id": 1}, 0)
        queue.put("note", {"run_id": 2}, 0)
        queue.put("note", {"run_id": 3}, 10)

        assert work_until(queue, lambda: len(done) == 3)

        assert done == [{"run_id": 3}, {"run_id": 1}, {"run_id": 2}]
        assert queue.trouble() is None

    @pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
    def test_a_task_under_way_is_finished_before_the_worker_stops(self, make_queue, broker_url, end):
        begun, go_on, done = threading.Event(), threading.Event(), []

        def slow():
            begun.set()
            done.append(go_on.wait(10))

        queue = make_queue({"slow": slow}, broker_url)
        queue.put("slow", {}, 0)
        threading.Timer(0.3, go_on.set).start()

        assert work_until(queue, begun.is_set, end=end)

        assert done == [True]

    def test_a_task_that_fails_is_logged_and_the_worker_lives(self, make_queue, broker_url, caplog):
        caplog.set_level("ERROR")
        done = []

        def fail(**values):
            raise ValueError("broken")

        queue = make_queue({"fail": fail, "note": lambda: done.append(1)}, broker_url)
        queue.put("fail", {"run_id": 7}, 0)
        queue.put("note", {}, 0)

        assert work_until(queue, lambda: done)

        (record,) = [record for record in caplog.records if record.exc_info]
        assert "the sweeper will come back" in record.getMessage()

    def test_a_message_that_names_no_task_of_ours_is_logged_and_passed_over(self, make_queue, broker_url, caplog):
        done = []
        queue = make_queue({"note": lambda: done.append(1)}, broker_url)
        queue.put("nothing", {}, 0)
        queue.put("note", {}, 0)

        assert work_until(queue, lambda: done)

        assert "names no task of ours" in caplog.text

    def test_a_message_that_is_a_pickle_runs_nothing_and_the_worker_lives(
        self, make_queue, broker_url, tmp_path, caplog
    ):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "taken over"),)

        done = []
        queue = make_queue({"note": lambda: done.append(1)}, broker_url)
        queue.huey.storage.enqueue(pickle.dumps(Evil()))
        queue.put("note", {}, 0)

        assert work_until(queue, lambda: done)

        assert not (tmp_path / "taken over").exists()

    def test_a_worker_that_lost_its_lease_stops_with_a_warning_and_no_traceback(self, make_queue, broker_url, caplog):
        caplog.set_level("WARNING")
        done = []

        def lose():
            done.append(1)
            raise LeaseLost("Run 7 was taken over")

        queue = make_queue({"lose": lose}, broker_url)
        queue.put("lose", {}, 0)

        assert work_until(queue, lambda: done)

        assert "Run 7 was taken over" in caplog.text
        assert not any(record.exc_info for record in caplog.records)


def test_a_message_is_json_with_the_tasks_name_and_its_values(make_queue):
    queue = make_queue()

    queue.put("runs.work", {"run_id": 7}, 0)

    assert ["runs.work", {"run_id": 7}] in [part[:2] for part in json.loads(raw(queue)) if isinstance(part, list)]


def test_a_waiting_worker_starts_at_once(make_queue, monkeypatch):
    queue = make_queue()
    monkeypatch.setattr(queue_module, "LONGEST_SLEEP", 30.0)
    found = []
    waiting = threading.Thread(target=lambda: found.append((queue.huey.storage.dequeue(), time.monotonic())))
    waiting.start()

    begun = time.monotonic()
    queue.put("note", {}, 0)
    waiting.join()

    ((data, ended),) = found
    assert data
    assert ended - begun < 1


def test_an_idle_worker_comes_back_empty_handed_after_a_while(make_queue):
    assert make_queue().huey.storage.dequeue() is None


def test_a_wake_up_that_another_thread_took_is_no_error(make_queue, monkeypatch):
    queue = make_queue()
    os.write(queue.huey.storage._pipe, b"!")

    def taken(*_args):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(queue_module.os, "read", taken)

    assert queue.huey.storage.dequeue() is None


def test_a_pipe_that_breaks_is_an_error(make_queue, monkeypatch):
    queue = make_queue()
    os.write(queue.huey.storage._pipe, b"!")

    def broken(*_args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(queue_module.os, "read", broken)

    with pytest.raises(OSError, match="Input/output"):
        queue.huey.storage.dequeue()


def test_a_process_with_more_than_a_thousand_open_files_still_waits_for_work(make_queue):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while opened[-1] < 1024:
            opened.append(os.dup(opened[0]))
        queue = make_queue()
        queue.put("note", {}, 0)
        assert queue.huey.storage.dequeue()
        assert queue.huey.storage.dequeue() is None
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_messages_than_the_pipe_holds_are_all_kept(make_queue):
    queue = make_queue()
    while True:
        try:
            os.write(queue.huey.storage._pipe, b"!" * 4096)
        except BlockingIOError:
            break

    queue.put("note", {}, 0)

    assert raw(queue)


def test_two_processes_share_the_queue_of_a_folder(make_queue):
    one, other = make_queue(), make_queue()

    one.put("note", {}, 0)

    assert raw(other)
    assert raw(one) is None


@pytest.mark.parametrize("url", ["amqp://x", "memory", "http://127.0.0.1"])
def test_a_broker_that_is_neither_embedded_nor_redis_is_refused(make_queue, url):
    with pytest.raises(ValueError, match="BROKER_URL must be empty or begin with redis://"):
        make_queue(broker_url=url)


@pytest.mark.parametrize(
    "error", [OSError("disk"), RedisError("down"), queue_module.sqlite3.OperationalError("locked")]
)
def test_a_queue_that_does_not_take_a_message_is_logged_and_named_by_the_check_up(
    make_queue, monkeypatch, caplog, error
):
    queue = make_queue()

    def refuse(*_args):
        raise error

    monkeypatch.setattr(queue.huey, "enqueue", refuse)
    monkeypatch.setattr(queue.huey, "pending_count", refuse)
    queue.put("note", {}, 0)

    assert "could not wake a worker" in caplog.text
    assert queue.trouble() == f"the queue does not answer ({type(error).__name__})"


def test_a_queue_is_busy_when_much_waits_in_it_and_not_when_it_cannot_be_asked(make_queue, monkeypatch):
    queue = make_queue()
    monkeypatch.setattr(queue_module, "BUSY", 1)
    queue.put("note", {}, 0)
    one = queue.is_busy()
    queue.put("note", {}, 0)
    two = queue.is_busy()

    def refuse():
        raise RedisError("down")

    monkeypatch.setattr(queue.huey, "pending_count", refuse)

    assert (one, two, queue.is_busy()) == (False, True, False)


def test_sweepers_wake_nobody_while_much_waits_in_the_queue(platform, monkeypatch):
    with transaction():
        inbox.receive(an_event("start"))
        notifications.tell("key", userid="zhangsan", title="", text="")
        order = catalog.order_for("demo-server", {"name": "web", "size": "small"})
        runs.queue_run(order, Applicant("zhangsan", "张三"), origin="test", workspace="web")
    with transaction():
        for model in (InboxEvent, Notice, Run):
            db.session.execute(update(model).values(wake_at=0.0))
    waiting = len(platform.waiting())
    sweeps = ("approvals.sweep", "notifications.sweep", "runs.sweep")
    monkeypatch.setattr(queue_module, "BUSY", -1)
    for task in sweeps:
        platform.do(task)
    while_busy = platform.waiting()
    monkeypatch.undo()

    for task in sweeps:
        platform.do(task)

    assert (waiting, while_busy) == (3, [])
    assert sorted(task for task, _ in platform.waiting()) == [
        "approvals.handle_event",
        "notifications.send",
        "runs.work",
    ]


@pytest.fixture
def hung():
    """A Redis that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize("kind", ["down", "hung"])
def test_a_broker_that_is_away_costs_little_and_loses_nothing(make_config, clean_up, hung, kind):
    away = a_platform(make_config(broker_url=NOBODY if kind == "down" else hung))
    clean_up(away.app)
    begun = time.monotonic()
    with away.context(), transaction():
        inbox.receive(an_event("start"))
    seconds = time.monotonic() - begun
    back = a_platform(make_config())
    clean_up(back.app)
    back.dingtalk.submit()

    with back.context():
        with transaction():
            db.session.execute(update(InboxEvent).values(wake_at=0.0))
        back.do("approvals.sweep")
        back.work()

        assert seconds < 0.3
        assert away.queue.trouble()
        assert [event.status for event in db.session.scalars(select(InboxEvent))] == ["done"]


def test_a_task_nobody_knows_cannot_be_enqueued(platform):
    with pytest.raises(KeyError), transaction():
        enqueue("runs.fly")


def test_a_message_leaves_only_with_its_commit(platform):
    def announce_and_fail():
        with transaction():
            enqueue("runs.sweep")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        announce_and_fail()
    rolled_back = platform.waiting()
    with transaction():
        enqueue("runs.sweep")
        during = platform.waiting()

    assert (rolled_back, during) == ([], [])
    assert platform.waiting() == [("runs.sweep", {})]


def test_two_schedulers_enqueue_a_task_once_in_a_period(platform):
    hour = [Periodic("runs.sweep", seconds=3600), Periodic("approvals.sweep", seconds=3600)]
    with transaction():
        for periodic in hour:
            db.session.add(ScheduleTick(task=periodic.task, period=0.0))
    stop = threading.Event()
    schedulers = [threading.Thread(target=run_scheduler, args=(platform.app, hour, stop)) for _ in range(2)]
    for scheduler in schedulers:
        scheduler.start()
    found = []

    wait_for(lambda: found.extend(platform.waiting()) or len(found) >= 2)
    stop.set()
    for scheduler in schedulers:
        scheduler.join()
    found.extend(platform.waiting())

    assert sorted(task for task, _ in found) == ["approvals.sweep", "runs.sweep"]


def test_a_task_is_enqueued_again_in_the_next_period_and_the_first_time_ever(platform):
    minute = Periodic("runs.sweep", seconds=60)
    for clock in (1200.0, 1201.0, 1259.9, 1260.0, 1261.0):
        schedule._tick(minute, clock)

    assert len(platform.waiting()) == 2


def test_a_database_that_is_away_does_not_end_the_scheduler(platform, monkeypatch, caplog):
    calls, stop = [], threading.Event()

    def tick(_periodic, _clock):
        calls.append(1)
        if len(calls) > 1:
            stop.set()
        raise OperationalError("UPDATE", {}, Exception("gone"))

    monkeypatch.setattr(schedule, "_tick", tick)
    run_scheduler(platform.app, [Periodic("runs.sweep", seconds=0.02)], stop)

    assert len(calls) == 2
    assert "a periodic task was not enqueued" in caplog.text
    assert count(ScheduleTick) == 0
