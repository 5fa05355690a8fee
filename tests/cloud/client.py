"""A typed client of the local cloud's control interface."""

from typing import Any

from opsplatform.adapters.transport import Client


class Cloud:
    """One running local cloud, as a test orders it about and looks at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = Client(url, "cloud", timeout=(3, 30))

    def order(self, kind: str, **more: Any) -> None:
        """Order trouble; `orders.py` lists the kinds."""
        self._call("POST", "orders", kind=kind, **more)

    def clear(self) -> None:
        """Order no trouble any more."""
        self._call("DELETE", "orders")

    def release(self) -> None:
        """Let go of every call that hangs now."""
        self._call("POST", "release")

    def settings(self, **settings: Any) -> None:
        """Set `quota` (None for no limit) or the `tokens` that are accepted."""
        self._call("POST", "settings", **settings)

    def change_behind(self, object_id: str, **attributes: Any) -> None:
        """Change an object behind Terraform's back."""
        self._call("POST", f"servers/{object_id}", **attributes)

    def delete_behind(self, object_id: str) -> None:
        """Remove an object behind Terraform's back."""
        self._call("DELETE", f"servers/{object_id}")

    def ledger(self, op: str | None = None, *, label: str | None = None) -> list[dict[str, Any]]:
        """What was ever accepted, oldest first."""
        return [
            entry
            for entry in self._call("GET", "ledger")["items"]
            if op in {None, entry["op"]} and label in {None, entry["label"]}
        ]

    def objects(self) -> list[dict[str, Any]]:
        """What exists now."""
        items: list[dict[str, Any]] = self._call("GET", "objects")["items"]
        return items

    def calls(self) -> dict[str, int]:
        """How many calls of each kind were carried out since the server started."""
        calls: dict[str, int] = self._call("GET", "calls")["calls"]
        return calls

    def hanging(self) -> int:
        """How many calls hang now."""
        return int(self._call("GET", "calls")["hanging"])

    def _call(self, method: str, what: str, **fields: Any) -> dict[str, Any]:
        return self._client.call(method, f"/control/{what}", json=fields or None, safe=method == "GET")
