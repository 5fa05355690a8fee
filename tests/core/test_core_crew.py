"""Threads are used again, begin at once however many are busy, and nobody waits for them for ever."""

import threading

from opsplatform.core.crew import Crew


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
