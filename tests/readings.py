"""What every reading method of the platform answers, for every object there is."""

from typing import Any

from opsplatform.app import METHODS

DEEDS = {"user.verify", "user.change_password", "sso.refresh"}  # they write, although not inside the dispatcher
LISTED = ("user.list", "module.list", "approval.list", "run.list", "workspace.list", "resource.list")
WITHOUT_PARAMS = ("App.index", "App.info", "user.me", *LISTED, "resource.export")
OF_ONE = {
    "module.get": ("module.list", "name"),
    "approval.get": ("approval.list", "id"),
    "run.get": ("run.list", "id"),
    "run.log": ("run.list", "id"),
    "run.watch": ("run.list", "id"),
    "run.plan": ("run.list", "id"),
    "workspace.get": ("workspace.list", "name"),
    "workspace.states": ("workspace.list", "name"),
    "resource.get": ("resource.list", "id"),
    "resource.history": ("resource.list", "id"),
}


def all_answers(api: Any) -> dict[str, Any]:
    """Method to what it answers; AssertionError when a method is forgotten here or a list is empty."""
    found: dict[str, Any] = {name: api.call(name) for name in WITHOUT_PARAMS}
    found["App.hello"] = api.call("App.hello", name="jack")
    items = {name: [item["id" if "id" in item else "name"] for item in found[name]["items"]] for name in LISTED}
    for name, (listed, param) in OF_ONE.items():
        found[name] = [_without_reference(api.answer(name, **{param: each})) for each in items[listed]]
    assert found.keys() == {method.name for method in METHODS if not method.changes} - DEEDS
    assert all(items.values()), items
    return found


def _without_reference(answer: dict[str, Any]) -> dict[str, Any]:
    """An error without the reference that each has of its own."""
    data = answer.get("error", {}).get("data", {})
    data.pop("ref", None)
    return answer
