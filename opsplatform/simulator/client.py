"""A typed client of the control interface, for the demo and for tests that tell stories."""

from collections.abc import Mapping, Sequence
from typing import Any

from opsplatform.adapters.transport import Client

Json = dict[str, Any]


class Simulator:
    """One running simulator; every method does what a person would do in DingTalk, or looks at what happened."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = Client(self.base_url, "simulator", timeout=(3, 30))

    def add_template(self, name: str, components: Sequence[Json], **more: object) -> str:
        """Make or edit a form; returns its process code."""
        return str(self._post("templates", name=name, components=list(components), **more)["process_code"])

    def add_user(self, userid: str, name: str, **more: object) -> None:
        """Hire or change an employee."""
        self._post("users", userid=userid, name=name, **more)

    def submit(self, process_code: str, userid: str, values: Mapping[str, object], **more: object) -> str:
        """Submit a form; returns the id of the approval."""
        fields = {"process_code": process_code, "userid": userid, "values": dict(values), **more}
        return str(self._post("submit", **fields)["instance_id"])

    def agree(self, instance_id: str, **more: object) -> Json:
        """Agree as the next approver, or as `userid`."""
        return self._post("agree", instance_id=instance_id, **more)

    def refuse(self, instance_id: str, **more: object) -> Json:
        """Refuse as the next approver, or as `userid`."""
        return self._post("refuse", instance_id=instance_id, **more)

    def redirect(self, instance_id: str, to: str, **more: object) -> Json:
        """Hand the turn to another employee."""
        return self._post("redirect", instance_id=instance_id, to=to, **more)

    def withdraw(self, instance_id: str, **more: object) -> Json:
        """Withdraw as the originator."""
        return self._post("withdraw", instance_id=instance_id, **more)

    def delete(self, instance_id: str) -> None:
        """Delete an approval."""
        self._post("delete", instance_id=instance_id)

    def instance(self, instance_id: str) -> Json:
        """An approval with its history and comments."""
        return self._get(f"instances/{instance_id}")

    def comments(self, instance_id: str) -> list[str]:
        """The texts of the comments on an approval."""
        return [str(comment["text"]) for comment in self.instance(instance_id)["comments"]]

    def instances(self) -> list[Json]:
        """Every approval, newest first."""
        return self._items("instances")

    def notifications(self) -> list[Json]:
        """Every work notification."""
        return self._items("notifications")

    def pushes(self, instance_id: str | None = None) -> list[Json]:
        """The push log, of one approval or of all."""
        return self._items("pushes", {"instance_id": instance_id} if instance_id else {})

    def settle(self, timeout: float = 5) -> bool:
        """Wait until no push is due."""
        return bool(self._post("settle", timeout=timeout)["settled"])

    def subscribe(self, url: str, **more: object) -> None:
        """Set where the app's events go."""
        self._post("subscribe", url=url, **more)

    def fault(self, kind: str, **more: object) -> None:
        """Order a fault; `simulator/faults.py` lists the kinds."""
        self._post("faults", kind=kind, **more)

    def clear_faults(self) -> None:
        """Let everything work again."""
        self._client.call("DELETE", "/sim/faults", safe=True)

    def expire_tokens(self) -> None:
        """End the current access token."""
        self.fault("token.expire")

    def adjust(self, **settings: object) -> Json:
        """Change settings such as `retry_delays`, `clock_ahead`, `signature_names`; returns them all."""
        return self._post("settings", **settings)

    def reset(self) -> None:
        """Forget everything that happened."""
        self._post("reset")

    def _post(self, path: str, /, **fields: object) -> Json:
        return self._client.call("POST", f"/sim/{path}", json=fields, safe=False)

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        return self._client.call("GET", f"/sim/{path}", params=params, safe=True)

    def _items(self, path: str, params: Mapping[str, str] | None = None) -> list[Json]:
        items: list[Json] = self._get(path, params)["items"]
        return items
