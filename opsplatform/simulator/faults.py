"""Faults a test may order: the next pushes or answers go wrong in a named way."""

import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "push.duplicate": "the push goes out twice",
    "push.drop": "the push is lost and never repeated",
    "push.delay": "the push waits `seconds`, later ones overtake it",
    "step.reorder": "the pushes of one step go out in reverse order",
    "push.wrong_signature": "the signature does not match",
    "push.wrong_owner": "the text belongs to another owner key",
    "push.tampered": "a byte of the ciphertext is changed, the signature is right",
    "push.rewrite": "`fields` replace fields of the event (another corp, template, type, result)",
    "api.down": "the connection is closed without an answer",
    "api.slow": "the answer comes after `seconds`",
    "api.html": "a web page of HTTP `status` comes instead of an answer",
    "api.qps": "too many calls per second",
    "api.error": "the answer is an error with `code` and HTTP `status`",
    "api.lost": "the call is carried out, its answer is lost",
    "instance.rewrite": "`fields` replace fields of fetched approvals",
}


@dataclass
class Fault:
    """One ordered fault; it is used up after `left` uses, or never when that is None.

    `path` narrows it: part of the address of an answer, `event type/type` of a push, the id of an approval.
    """

    kind: str
    left: int | None = 1
    seconds: float = 0
    path: str = ""
    code: str = "systemError"
    status: int = 500
    fields: dict[str, Any] = field(default_factory=dict)

    def matches(self, prefix: str, path: str) -> bool:
        """Whether this fault is of the wanted kind and for that path."""
        return self.kind.startswith(prefix) and self.path in path


class Faults:
    """The faults that are still to happen, in the order they were ordered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._faults.clear()

    def take(self, prefix: str, path: str = "") -> Fault | None:
        """Use the first fault whose kind begins with `prefix`, if there is one."""
        with self._lock:
            for fault in self._faults:
                if fault.matches(prefix, path):
                    if fault.left is not None:
                        fault.left -= 1
                    if fault.left == 0:
                        self._faults.remove(fault)
                    return fault
        return None
