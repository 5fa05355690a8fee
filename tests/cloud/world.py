"""The local cloud itself: servers that can be made, looked at, changed and removed, and the trouble it makes.

Its objects are what its ledger says, so a server that was killed and started again knows all of them.
"""

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cloud.ledger import API, BEHIND, Ledger
from tests.cloud.orders import Order, Orders

TOKEN = "cloud-token"
SETTABLE = ("name", "size", "tags", "password")


class Refused(Exception):
    """The cloud says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Lost(Exception):
    """The caller gets no answer."""


@dataclass(frozen=True)
class Call:
    """One request to the cloud's API."""

    op: str
    object_id: str = ""
    token: str = ""
    request_id: str = ""
    label: str = ""
    body: dict[str, Any] = field(default_factory=dict)


class World:
    """Everything that exists in the cloud."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = Ledger(ledger)
        self.orders = Orders()
        self.tokens = {TOKEN}
        self.quota: int | None = None
        self.calls: Counter[str] = Counter()
        self._objects: dict[str, dict[str, Any]] = {}
        self._made_by: dict[str, str] = {}
        self._guard = threading.RLock()
        self.hanging = 0
        self._released = threading.Event()
        self._closing = threading.Event()
        for entry in self.ledger.entries():
            self._remember(entry.op, entry.id, entry.attributes, entry.request_id)

    def serve(self, call: Call) -> dict[str, Any]:
        """Carry a call out and answer it, with the trouble that was ordered for it."""
        if call.token not in self.tokens:
            raise Refused(401, "InvalidToken", f"The token {call.token} is not valid.")
        orders = self.orders.striking(call.op, self._name_of(call))
        self._suffer(orders, "before")
        with self._guard:
            self.calls[call.op] += 1
            answer = _OPERATIONS[call.op](self, call)
        if call.op == "create":
            self._closing.wait(float(call.body.get("delay") or 0))
        self._suffer(orders, "after")
        return answer

    def objects(self) -> list[dict[str, Any]]:
        """What exists now."""
        with self._guard:
            return [dict(each) for each in self._objects.values()]

    def change_behind(self, object_id: str, attributes: dict[str, Any]) -> None:
        """Change an object as a person at the cloud's own console would."""
        with self._guard:
            self._find(object_id)
            self._write("update", object_id, BEHIND, Call("update"), attributes)

    def delete_behind(self, object_id: str) -> None:
        """Remove an object as a person at the cloud's own console would."""
        with self._guard:
            self._find(object_id)
            self._write("delete", object_id, BEHIND, Call("delete"), {})

    def release(self) -> None:
        """Let go of every call that hangs now."""
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        """End every wait; calls that still come are answered at once."""
        self._closing.set()
        self.release()

    def _create(self, call: Call) -> dict[str, Any]:
        if call.request_id in self._made_by:  # the same request again, because its answer was lost
            return self._find(self._made_by[call.request_id])
        if self.quota is not None and len(self._objects) >= self.quota:
            raise Refused(403, "QuotaExceeded", f"No more than {self.quota} servers are allowed.")
        number = sum(1 for entry in self.ledger.entries() if entry.op == "create") + 1
        attributes = {**_settable(call.body), "ip": f"10.0.{number // 250}.{number % 250 + 1}"}
        object_id = f"srv-{number:06d}"
        self._write("create", object_id, API, call, attributes)
        return self._find(object_id)

    def _read(self, call: Call) -> dict[str, Any]:
        return self._find(call.object_id)

    def _list(self, _call: Call) -> dict[str, Any]:
        return {"items": self.objects()}

    def _update(self, call: Call) -> dict[str, Any]:
        self._find(call.object_id)
        self._write("update", call.object_id, API, call, _settable(call.body))
        return self._find(call.object_id)

    def _delete(self, call: Call) -> dict[str, Any]:
        self._find(call.object_id)
        self._write("delete", call.object_id, API, call, {})
        return {}

    def _find(self, object_id: str) -> dict[str, Any]:
        if object_id not in self._objects:
            raise Refused(404, "NotFound", f"There is no server {object_id}.")
        return dict(self._objects[object_id])

    def _write(self, op: str, object_id: str, by: str, call: Call, attributes: dict[str, Any]) -> None:
        facts = {"token": call.token, "request_id": call.request_id, "label": call.label}
        self.ledger.add(op, object_id, by=by, attributes=attributes, **facts)
        self._remember(op, object_id, attributes, call.request_id)

    def _remember(self, op: str, object_id: str, attributes: dict[str, Any], request_id: str) -> None:
        if op == "delete":
            self._objects.pop(object_id, None)
            return
        self._objects.setdefault(object_id, {"id": object_id}).update(attributes)
        if op == "create" and request_id:
            self._made_by[request_id] = object_id

    def _name_of(self, call: Call) -> str:
        with self._guard:
            return str(call.body.get("name") or self._objects.get(call.object_id, {}).get("name", ""))

    def _suffer(self, orders: "list[Order] | Any", stage: str) -> None:
        for order in orders:
            if order.stage != stage:
                continue
            if order.kind == "latency":
                self._closing.wait(order.seconds)
            elif order.kind == "hang":
                self._hang()
            elif order.kind == "lost":
                raise Lost
            else:
                raise Refused(order.status, order.code, "The cloud is in trouble, as ordered.")

    def _hang(self) -> None:
        released = self._released
        if self._closing.is_set():
            return
        with self._guard:
            self.hanging += 1
        released.wait()
        with self._guard:
            self.hanging -= 1


def digest(password: str | None) -> str | None:
    """What the cloud keeps of a password: enough to see that it changed."""
    return hashlib.sha256(password.encode()).hexdigest() if password else None


def _settable(body: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: body.get(name) for name in SETTABLE if name in body}
    if "password" in chosen:
        chosen["password_digest"] = digest(chosen.pop("password"))
    return chosen


_OPERATIONS = {
    "create": World._create,
    "read": World._read,
    "list": World._list,
    "update": World._update,
    "delete": World._delete,
}
