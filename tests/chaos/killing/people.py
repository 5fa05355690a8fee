"""Applicants, approvers and front-ends who go on while things are killed around them."""

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from opsplatform.adapters.transport import AnswerError
from opsplatform.core.errors import UpstreamError
from tests.chaos.killing.stack import Stack
from tests.cloud.offers import MANY, SERVER

PAUSE = 0.1
BUSY = 4  # so many runs are in work or wait for a worker before the next form is submitted
LONGEST_THOUGHT = 4.0
OUTCOMES = {"agree": 75, "refuse": 9, "withdraw": 9, "delete": 7}
LOOKS = ("run.list", "approval.list", "resource.list", "workspace.list")


@dataclass
class Wish:
    """A form that was submitted, what will be said to it, and when."""

    name: str
    instance_id: str
    outcome: str
    at: float
    decided: bool = False


class People(threading.Thread):
    """Submit forms, decide on them, look at the platform; `leave` ends it with nothing left undecided."""

    def __init__(self, stack: Stack, seed: int) -> None:
        super().__init__(name="people", daemon=True)
        self.wishes: list[Wish] = []
        self.answers: Counter[str] = Counter()
        self.trouble: Exception | None = None
        self._stack = stack
        self._random = random.Random(seed)
        self._leaving = threading.Event()

    def run(self) -> None:
        """Go on until asked to leave, then decide on what waits."""
        try:
            while not self._leaving.wait(PAUSE):
                self._submit_when_calm()
                self._decide(until=time.monotonic())
                self._look()
            self._decide(until=float("inf"))
        except Exception as error:  # told to whoever waits for us
            self.trouble = error
            raise

    def leave(self) -> None:
        """Stop submitting, and decide on everything that is open."""
        self._leaving.set()
        self.join()
        if self.trouble:
            raise self.trouble

    def _submit_when_calm(self) -> None:
        busy = self._stack.records.busy()
        if busy is None or busy >= BUSY or sum(not wish.decided for wish in self.wishes) >= 2 * BUSY:
            return
        if self._random.random() < 0.2:
            self._stack.simulator.fault("push.duplicate", count=3)
        name = f"k{len(self.wishes) + 1}"
        outcome = self._random.choices(list(OUTCOMES), weights=list(OUTCOMES.values()))[0]
        thought = self._random.choice([0.0, self._random.uniform(0, LONGEST_THOUGHT)])
        instance_id = self._submit(name)
        self.wishes.append(Wish(name, instance_id, outcome, time.monotonic() + thought))

    def _submit(self, name: str) -> str:
        kind, person = self._random.random(), self._random.choice(["zhangsan", "lisi"])
        seconds = self._random.choice([0, 0, 0, 1, 3])
        if kind < 0.15:
            form = {"服务器名称": name, "规格": "small"}
            return self._stack.simulator.submit("PROC-DEMO-SERVER", person, form)
        if kind < 0.3:
            number = self._random.randint(2, 4)
            return self._stack.simulator.submit(MANY, person, {"名称": name, "数量": number, "秒": seconds})
        return self._stack.simulator.submit(SERVER, person, {"名称": name, "秒": seconds})

    def _decide(self, *, until: float) -> None:
        for wish in self.wishes:
            if not wish.decided and wish.at <= until:
                getattr(self._stack.simulator, wish.outcome)(wish.instance_id)
                wish.decided = True

    def _look(self) -> None:
        """Ask one web part or the other something, sometimes to handle an old event again; count how it answers."""
        api, method, params = self._random.choice(self._stack.apis), self._random.choice(LOOKS), {}
        if self.wishes and self._random.random() < 0.1:
            method, params = "approval.replay", {"id": self._random.randint(1, len(self.wishes))}
        try:
            answer = api.answer(method, **params)
        except AnswerError as error:
            self.answers[f"HTTP {error.status}"] += 1
        except UpstreamError as error:
            self.answers[type(error).__name__] += 1
        else:
            with suppress(KeyError):
                answer = answer["error"]
            self.answers[str(answer.get("code", "result"))] += 1
