"""The provider `ops.local/demo/fakecloud` with its one resource, `fakecloud_server`.

It takes address and token from the environment only, because a module of the platform holds no provider block.
"""

import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

from tf import schema, types
from tf.iface import (
    CreateContext,
    DeleteContext,
    ImportContext,
    Provider,
    ReadContext,
    Resource,
    UpdateContext,
)
from tf.utils import Diagnostics

from tests.cloud.provider.calling import CloudApi, CloudError

SOURCE = "ops.local/demo/fakecloud"
State = dict[str, Any]


class FakeCloud(Provider):
    """The provider."""

    api: CloudApi
    weight: bytearray

    def get_model_prefix(self) -> str:
        """What the names of its resources begin with."""
        return "fakecloud_"

    def full_name(self) -> str:
        """Its address."""
        return SOURCE

    def get_provider_schema(self, diags: Diagnostics) -> schema.Schema:
        """It takes no settings of its own."""
        return schema.Schema(version=0, attributes=[])

    def validate_config(self, diags: Diagnostics, config: State) -> None:
        """Nothing is set, so nothing can be wrong."""

    def configure_provider(self, diags: Diagnostics, config: State) -> None:
        """Read the environment."""
        self.api = CloudApi.from_environment()
        self.weight = carried(int(os.environ.get("FAKECLOUD_WEIGHT_MB", "0")))
        time.sleep(float(os.environ.get("FAKECLOUD_WEIGHT_SECONDS", "0")))
        if not self.api.url:
            diags.add_error("No cloud is set", "FAKECLOUD_URL and FAKECLOUD_TOKEN must be in the environment.")

    def get_data_sources(self) -> list[Any]:
        """It has none."""
        return []

    def get_resources(self) -> list[type[Resource]]:
        """It has one."""
        return [Server]


class Server(Resource):
    """One server of the local cloud."""

    def __init__(self, provider: FakeCloud) -> None:
        self._provider = provider

    @classmethod
    def get_name(cls) -> str:
        """Its type, without the prefix."""
        return "server"

    @classmethod
    def get_schema(cls) -> schema.Schema:
        """A new size needs a new server; `delay` is how many seconds its creation takes."""
        return schema.Schema(
            version=0,
            attributes=[
                schema.Attribute("id", types.String(), computed=True),
                schema.Attribute("ip", types.String(), computed=True),
                schema.Attribute("name", types.String(), required=True),
                schema.Attribute("size", types.String(), optional=True, requires_replace=True),
                schema.Attribute("tags", types.Map(types.String()), optional=True),
                schema.Attribute("password", types.String(), optional=True, sensitive=True),
                schema.Attribute("delay", types.Number(), optional=True),
            ],
        )

    def create(self, ctx: CreateContext, planned: State) -> State | None:
        """Make it."""
        return self._ask(ctx, "POST", "/servers", _wanted(planned), lambda made: {**planned, **_computed(made)})

    def read(self, ctx: ReadContext, current: State) -> State | None:
        """Look at it; None when it is gone."""
        path = f"/servers/{current['id']}"
        try:
            return _as_found(current, self._provider.api.call("GET", path))
        except CloudError as error:
            if error.status == 404:
                return None
            ctx.diagnostics.add_error(error.code, str(error))
            return current

    def update(self, ctx: UpdateContext, current: State, planned: State) -> State | None:
        """Change it."""
        path = f"/servers/{current['id']}"
        changed = self._ask(ctx, "PATCH", path, _wanted(planned), lambda made: {**planned, **_computed(made)})
        return changed or current

    def delete(self, ctx: DeleteContext, current: State) -> State | None:
        """Remove it; what is gone already is fine."""
        try:
            self._provider.api.call("DELETE", f"/servers/{current['id']}")
        except CloudError as error:
            if error.status != 404:
                ctx.diagnostics.add_error(error.code, str(error))
                return current
        return None

    def import_(self, ctx: ImportContext, id: str) -> State | None:  # noqa: A002 - the base class names it
        """Take over a server that exists."""
        blank = {"password": None, "delay": None, "tags": None}
        return self._ask(ctx, "GET", f"/servers/{id}", None, lambda found: _as_found(blank, found))

    def _ask(
        self, ctx: Any, method: str, path: str, body: State | None, then: Callable[[State], State]
    ) -> State | None:
        try:
            return then(self._provider.api.call(method, path, body))
        except CloudError as error:
            ctx.diagnostics.add_error(error.code, str(error))
            return None


def carried(megabytes: int) -> bytearray:
    """Memory that is really used, as a big provider needs it."""
    return bytearray(b"\1") * (megabytes << 20)


def _wanted(planned: State) -> State:
    return {name: planned.get(name) for name in ("name", "size", "tags", "password", "delay")}


def _computed(found: State) -> State:
    return {"id": found["id"], "ip": found["ip"]}


def _as_found(current: State, found: State) -> State:
    """The state as the cloud has it; the cloud does not give a password back, only away that it is another one."""
    password = current.get("password")
    known = hashlib.sha256(password.encode()).hexdigest() if password else None
    return {
        **_computed(found),
        "name": found["name"],
        "size": found.get("size"),
        "tags": found.get("tags") or ({} if current.get("tags") == {} else None),
        "password": password if known == found.get("password_digest") else None,
        "delay": current.get("delay"),
    }
