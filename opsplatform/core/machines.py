"""State machines as tables: each stands once, and the code, the diagrams and the model check read that one.

A move says from where, to where, who makes it and when. What no move allows is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Status = TypeVar("Status", bound=StrEnum)


class Cause(StrEnum):
    """Who or what makes a move."""

    EVENT = "event"  # what DingTalk says about the approval
    WORKER = "worker"  # the worker that holds the row
    SWEEPER = "sweeper"  # the worker that took over what a dead one left
    PERSON = "person"  # a call of somebody who may
    CLOCK = "clock"  # time has run out


@dataclass(frozen=True)
class Move(Generic[Status]):
    """One legal change of status."""

    source: Status
    target: Status
    cause: Cause
    guard: str


class Machine(Generic[Status]):
    """All legal moves of one kind of row."""

    def __init__(self, starts: Iterable[Status], moves: Iterable[Move[Status]]) -> None:
        self.starts = tuple(starts)
        self.moves = tuple(moves)
        self.next: dict[str, frozenset[Status]] = {
            move.source: frozenset(other.target for other in self.moves if other.source == move.source)
            for move in self.moves
        }
        named = {*self.starts, *(move.target for move in self.moves)}
        self.ends = frozenset(status for status in named if status not in self.next)

    def after(self, status: str) -> frozenset[Status]:
        """What may follow a status; nothing after an end."""
        return self.next.get(status, frozenset())

    def causes(self, source: str, target: str) -> frozenset[Cause]:
        """Who may move a row from here to there."""
        return frozenset(move.cause for move in self.moves if (move.source, move.target) == (source, target))

    def diagram(self) -> Iterator[str]:
        """The machine as Mermaid draws it, line by line."""
        yield "stateDiagram-v2"
        yield from (f"    [*] --> {status}" for status in self.starts)
        for source, target in dict.fromkeys((move.source, move.target) for move in self.moves):
            yield f"    {source} --> {target}: {', '.join(sorted(self.causes(source, target)))}"
        yield from (f"    {status} --> [*]" for status in sorted(self.ends))

    def table(self) -> Iterator[str]:
        """The machine as a Markdown table, line by line."""
        yield "| from | to | by | when |"
        yield "|---|---|---|---|"
        yield from (f"| {move.source} | {move.target} | {move.cause} | {move.guard} |" for move in self.moves)
