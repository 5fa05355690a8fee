"""The explorer: every state that can be reached, breadth first, with a shortest trace to whatever breaks a promise.

States are kept once, by hash; a state's number is its place in the order of discovery. Steps that the product does by
itself are kept as edges, so that afterwards it can be asked from which states rest cannot be reached by them alone.
"""

import time
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Successors = Callable[[Any], Iterator[tuple[tuple[str, int], Any, bool]]]


@dataclass
class Broken:
    """A promise that does not hold, and how it comes to that."""

    promise: str
    trace: list[tuple[tuple[str, int], Any]]
    detail: str = ""

    def told(self, show: Callable[[Any], str] = str) -> str:
        """The trace, one step a line."""
        lines = [f"broken: {self.promise} {self.detail}".rstrip()]
        lines += [f"{n:3} {what} {row}: {show(state)}" for n, ((what, row), state) in enumerate(self.trace)]
        return "\n".join(lines)


@dataclass
class Found:
    """What an exploration saw."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = True
    broken: Broken | None = None
    taken: Counter[str] = field(default_factory=Counter)


@dataclass
class Model:
    """Something to explore."""

    first: Hashable
    successors: Successors
    broken_in: Callable[[Any], str | None] = lambda _state: None
    broken_by: Callable[[Any, Any], str | None] = lambda _before, _after: None
    at_rest: Callable[[Any], bool] | None = None
    refusals: tuple[type[Exception], ...] = ()


class Explorer:
    """One exploration."""

    def __init__(self, model: Model, *, most_states: int = 10_000_000) -> None:
        self._model = model
        self._most = most_states
        self.states: list[Any] = [model.first]
        self._numbers: dict[Any, int] = {model.first: 0}
        self._parents = array("i", [-1])
        self._from, self._to = array("i"), array("i")
        self.found = Found()

    def run(self) -> Found:
        """Look at everything, or stop at the first broken promise."""
        begun = time.perf_counter()
        self._explore()
        if self.found.broken is None and self.found.complete and self._model.at_rest is not None:
            self.found.broken = self._look_for_dead_ends()
        self.found.states = len(self.states)
        self.found.depth = len(self._path(len(self.states) - 1)) - 1
        self.found.seconds = time.perf_counter() - begun
        return self.found

    def _explore(self) -> None:
        number = 0
        while number < len(self.states) and self.found.broken is None:
            if len(self.states) > self._most:
                self.found.complete = False
                return
            try:
                self._expand(number)
            except self._model.refusals as error:
                self.found.broken = Broken("table", self.trace(number), str(error))
            number += 1

    def _expand(self, number: int) -> None:
        before, numbers, model = self.states[number], self._numbers, self._model
        for label, after, own in model.successors(before):
            self.found.transitions += 1
            self.found.taken[label[0]] += 1
            known = numbers.get(after)
            if known is None:
                known = numbers[after] = len(self.states)
                self.states.append(after)
                self._parents.append(number)
                promise = model.broken_in(after)
                if promise:
                    self.found.broken = Broken(promise, self.trace(known))
                    return
            promise = model.broken_by(before, after)
            if promise:
                self.found.broken = Broken(promise, [*self.trace(number), (label, after)])
                return
            if own:
                self._from.append(number)
                self._to.append(known)

    def trace(self, number: int) -> list[tuple[tuple[str, int], Any]]:
        """The shortest way to a state, with the steps' names."""
        path = [self.states[n] for n in self._path(number)]
        steps: list[tuple[tuple[str, int], Any]] = [(("begin", 0), path[0])]
        for before, after in pairwise(path):
            label = next(label for label, state, _ in self._model.successors(before) if state == after)
            steps.append((label, after))
        return steps

    def _path(self, number: int) -> list[int]:
        path = []
        while number >= 0:
            path.append(number)
            number = self._parents[number]
        return path[::-1]

    def _look_for_dead_ends(self) -> Broken | None:
        """The nearest state from which the product alone never comes to rest."""
        backwards: dict[int, list[int]] = {}
        for source, target in zip(self._from, self._to, strict=True):
            backwards.setdefault(target, []).append(source)
        fine = bytearray(len(self.states))
        assert self._model.at_rest is not None
        heap = [number for number, state in enumerate(self.states) if self._model.at_rest(state)]
        for number in heap:
            fine[number] = 1
        while heap:
            for source in backwards.get(heap.pop(), ()):
                if not fine[source]:
                    fine[source] = 1
                    heap.append(source)
        stuck = fine.find(0)
        return None if stuck < 0 else Broken("way out", self.trace(stuck))
