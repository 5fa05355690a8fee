"""Trouble to order: what the local cloud does to the calls that match, before or after it carries them out."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = frozenset({"latency", "hang", "error", "lost"})
STAGES = frozenset({"before", "after"})


@dataclass
class Order:
    """One kind of trouble.

    Attributes:
        kind: latency waits `seconds`; hang waits until it is released; error answers `status`; lost closes the
            connection without an answer.
        op: create, read, update, delete, list, or * for any.
        stage: before the call is carried out, or after it, when only the answer suffers.
        name: only calls about the object of this name; empty for all.
        skip: how many matching calls are let through first.
        times: how many calls it strikes after that; None for all.
    """

    kind: str
    op: str = "*"
    stage: str = "before"
    name: str = ""
    skip: int = 0
    times: int | None = None
    seconds: float = 0.0
    status: int = 503
    code: str = "ServiceUnavailable"

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.stage not in STAGES:
            raise ValueError(f"no such trouble: {self.kind} {self.stage}")

    def strikes(self, op: str, name: str) -> bool:
        """Whether this call is struck; counts it."""
        if self.op not in {"*", op} or self.name not in {"", name} or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Orders:
    """The orders that stand."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        self._guard = threading.Lock()

    def add(self, order: Order) -> None:
        """Let it strike from now on."""
        with self._guard:
            self._orders.append(order)

    def clear(self) -> None:
        """Let everything work again."""
        with self._guard:
            self._orders.clear()

    def striking(self, op: str, name: str) -> Sequence[Order]:
        """What happens to this call, in the order in which it was ordered."""
        with self._guard:
            return [order for order in self._orders if order.strikes(op, name)]
