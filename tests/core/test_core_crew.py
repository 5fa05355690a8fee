"""Threads are used again, begin at once however many are busy, and nobody waits for them for ever."""

import platform
import subprocess
import sys
import threading

import pytest

from opsplatform.core.crew import Crew
from tests.support import ROOT


def test_calls_that_take_long_run_side_by_side():
    crew, meeting = Crew(), threading.Barrier(5)
    for _ in range(4):
        crew.run(meeting.wait)

    meeting.wait(10)

    assert crew.wait(10)


def test_a_thread_that_is_done_takes_the_next_call():
    crew, seen = Crew(), []
    for _ in range(5):
        crew.run(lambda: seen.append(threading.get_ident()))
        assert crew.wait(10)

    assert len(seen) == 5
    assert len(set(seen)) == 1


def test_who_waits_learns_that_something_takes_longer():
    crew, go_on = Crew(), threading.Event()
    crew.run(lambda: go_on.wait() and None)

    assert crew.wait(0) is False
    go_on.set()
    assert crew.wait(10) is True


SEVERAL_HEAPS = """
import re, sys, threading
from opsplatform.core.crew import share_one_heap
if sys.argv[1] == "shared":
    share_one_heap()
kept, meeting = [], threading.Barrier(8)
def work():
    meeting.wait()
    kept.extend(bytes(10_000) for _ in range(20))
    meeting.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
spans = (re.match(r"([0-9a-f]+)-([0-9a-f]+) ---p", line) for line in open("/proc/self/maps"))
print(sum(1 for span in spans if span and int(span[2], 16) - int(span[1], 16) > 60 << 20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives each thread a heap of its own")
def test_the_threads_of_a_worker_share_one_heap():
    shared, apart = (
        int(
            subprocess.run([sys.executable, "-c", SEVERAL_HEAPS, how], capture_output=True, check=True, cwd=ROOT).stdout
        )
        for how in ("shared", "apart")
    )

    assert shared == 0
    assert apart > 0
