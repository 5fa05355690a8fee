"""Pushes events to those who subscribed: signed, encrypted, in order, and again when they are not taken.

Four lanes send at the same time; the events of one approval always use the same lane, so that they stay in order.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

from flask import current_app

from opsplatform.core.errors import UpstreamError
from opsplatform.simulator.crypto import WrongAnswer
from opsplatform.simulator.faults import Fault, Faults
from opsplatform.simulator.wire import PushRules, SealedPush, Subscription, Wire
from opsplatform.simulator.world import Event

LANES = 4
LONGEST_LOG = 20_000


@dataclass
class Attempt:
    """One line of the push log."""

    event_id: str
    event_type: str
    type: str
    instance_id: str
    attempt: int
    url: str
    at: float
    ok: bool = False
    milliseconds: float = 0
    error: str = ""
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Push:
    """An event on its way to one subscriber."""

    subscription: Subscription
    event: Event
    attempt: int = 0
    sealed: SealedPush | None = None


class Pusher:
    """Sends events in threads of its own; `publish` returns at once."""

    def __init__(self, rules: PushRules, faults: Faults) -> None:
        self.rules = rules
        self.wire = Wire(rules)
        self.faults = faults
        self.subscriptions: dict[str, Subscription] = {}
        self._log: deque[Attempt] = deque(maxlen=LONGEST_LOG)
        self._changed = threading.Condition()
        self._waiting: list[list[tuple[float, int, Push]]] = [[] for _ in range(LANES)]
        self._sending = 0
        self._number = itertools.count()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Queue the events of one step for everybody who wants them."""
        if self.faults.take("step.reorder"):
            events = list(reversed(events))
        with self._changed:
            for event in events:
                for subscription in self.subscriptions.values():
                    if subscription.wants(event):
                        self._queue(Push(subscription, event), 0)
            self._start_threads()
            self._changed.notify_all()

    def log(self) -> list[dict[str, Any]]:
        """Every attempt so far, oldest first."""
        with self._changed:
            return [asdict(attempt) for attempt in self._log]

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is due; repeats and delayed pushes of later do not count."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._sending or any(lane and lane[0][0] <= time.monotonic() for lane in self._waiting):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def adjust(self, rules: PushRules) -> None:
        """Use other rules from now on."""
        self.rules = self.wire.rules = rules

    def forget(self) -> None:
        """Drop what waits and the log."""
        with self._changed:
            for lane in self._waiting:
                lane.clear()
            self._log.clear()

    def close(self) -> None:
        """End the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _queue(self, push: Push, delay: float) -> None:
        """Put a push into the lane of its approval; the caller holds the lock."""
        lane = self._waiting[crc32(push.event.instance_id.encode()) % LANES]
        heapq.heappush(lane, (time.monotonic() + delay, next(self._number), push))

    def _start_threads(self) -> None:
        """Begin sending with the first event, so that a forked server has its own threads."""
        if not self._threads and not self._closed:
            self._threads = [threading.Thread(target=self._work, args=(lane,), daemon=True) for lane in self._waiting]
            for thread in self._threads:
                thread.start()

    def _work(self, lane: list[tuple[float, int, Push]]) -> None:
        """Send what is due in one lane until the simulator closes."""
        while (push := self._next(lane)) is not None:
            try:
                self._deliver(push)
            finally:
                with self._changed:
                    self._sending -= 1
                    self._changed.notify_all()

    def _next(self, lane: list[tuple[float, int, Push]]) -> Push | None:
        with self._changed:
            while not self._closed:
                wait = lane[0][0] - time.monotonic() if lane else None
                if wait is not None and wait <= 0:
                    self._sending += 1
                    return heapq.heappop(lane)[2]
                self._changed.wait(wait)
        return None

    def _deliver(self, push: Push) -> None:
        """Make one attempt, spoiled by a fault when one was ordered."""
        fault = self.faults.take("push.", f"{push.event.event_type}/{push.event.fields.get('type', '')}")
        if fault and fault.kind == "push.delay":
            with self._changed:
                self._queue(push, fault.seconds)
            return
        attempt = self._attempt(push, fault)
        if fault and fault.kind == "push.duplicate":
            self._attempt(push, None)
        if not attempt.ok and push.attempt < len(self.rules.retry_delays):
            delay = self.rules.retry_delays[push.attempt]
            push.attempt += 1
            with self._changed:
                self._queue(push, delay)

    def _attempt(self, push: Push, fault: Fault | None) -> Attempt:
        """Send once and log how it went."""
        event, subscription = push.event, push.subscription
        body = self._body(push, fault)
        entry = Attempt(
            event_id=event.event_id,
            event_type=event.event_type,
            type=str(event.fields.get("type", "")),
            instance_id=event.instance_id,
            attempt=push.attempt + 1,
            url=subscription.url,
            at=time.time(),
            body=body,
        )
        started = time.monotonic()
        try:
            if fault and fault.kind == "push.drop":
                entry.error = "lost on purpose"
            else:
                self.wire.send(subscription, self._sealed(push, body, fault))
            entry.ok = True
        except (UpstreamError, WrongAnswer) as error:
            entry.error = str(error)
        entry.milliseconds = round((time.monotonic() - started) * 1000, 2)
        with self._changed:
            self._log.append(entry)
        return entry

    def _body(self, push: Push, fault: Fault | None) -> dict[str, Any]:
        """The event in the envelope of the subscription."""
        event = push.event
        body = {"EventType": event.event_type, **event.fields}
        if push.subscription.envelope == "older":
            body["corpId"] = self.rules.corp_id
        else:
            body |= {"EventTime": event.at, "CorpId": self.rules.corp_id, "eventId": event.event_id}
            body["BizId"] = str(event.at)
        return body | (fault.fields if fault and fault.kind == "push.rewrite" else {})

    def _sealed(self, push: Push, body: dict[str, Any], fault: Fault | None) -> SealedPush:
        """What goes over the wire; it is unknown whether DingTalk signs a repetition anew, so both can be had."""
        if push.sealed and not self.rules.sign_anew:
            return push.sealed
        sealed = self.wire.seal(push.subscription, body, fault)
        if fault is None:
            push.sealed = sealed
        return sealed


def pusher() -> Pusher:
    """The pusher of the running simulator."""
    found: Pusher = current_app.extensions["pusher"]
    return found
