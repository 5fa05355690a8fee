"""Threads for what takes long; one that is done waits for the next call, because it has its connections open."""

import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue

M_ARENA_MAX = -8  # of glibc's mallopt(3)


def share_one_heap() -> None:
    """Let all threads of this process take memory from one heap, where glibc would give each its own to grow."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such heaps
    if mallopt:
        mallopt(M_ARENA_MAX, 1)


class Crew:
    """As many threads as there are calls at once; none of them keeps the process from ending."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._changed = threading.Condition()
        self._idle = self._busy = 0

    def run(self, call: Callable[[], None]) -> None:
        """Begin a call at once, in a thread that is idle or a new one. The call must not raise."""
        with self._changed:
            self._busy += 1
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._serve, name="crew", daemon=True).start()
        self._calls.put(call)

    def wait(self, seconds: float) -> bool:
        """Wait for the calls under way; False when they take longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def _serve(self) -> None:
        while True:
            self._calls.get()()
            with self._changed:
                self._busy -= 1
                self._idle += 1
                self._changed.notify_all()
