"""Bodies of the control interface, and how plain JSON becomes what is sent to DingTalk."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from opsplatform.simulator import seed
from opsplatform.simulator.world import Action, Component, Node


class Wanted(BaseModel):
    """A body; unknown names are refused, so that a typing error does not pass in silence."""

    model_config = ConfigDict(extra="forbid")


class WantedComponent(Wanted):
    """One field of a form."""

    id: str
    label: str
    type: str = "TextField"
    required: bool = False
    options: list[str] = []
    children: list["WantedComponent"] = []
    biz_alias: str = ""

    def made(self) -> Component:
        """The component."""
        return Component(**{**self.model_dump(), "children": [child.made() for child in self.children]})


class WantedNode(Wanted):
    """One step of a flow."""

    userids: list[str] = Field(min_length=1)
    action: Action = "AND"


Approvers = list[str | WantedNode]


def as_flow(approvers: Approvers) -> list[Node]:
    """One step after the other; a bare user id is a step of one person."""
    return [Node([one]) if isinstance(one, str) else Node(one.userids, one.action) for one in approvers]


class WantedTemplate(Wanted):
    """A form; the same process code again replaces it, as editing does."""

    process_code: str = ""
    name: str
    components: list[WantedComponent]
    approvers: Approvers = ["manager1"]
    enabled: bool = True
    can_withdraw: bool = True


class WantedUser(Wanted):
    """An employee."""

    userid: str
    name: str
    unionid: str = ""
    dept_ids: list[int] = Field(default=[1], min_length=1)
    active: bool = True


class WantedForm(Wanted):
    """A filled-in form; values go by label or id and may be plain JSON."""

    process_code: str
    userid: str
    values: dict[str, Any] = {}
    approvers: Approvers = []
    dept_id: int | None = None
    unchecked: bool = False
    biz_action: str = "NONE"
    main_instance_id: str = ""


class WantedStep(Wanted):
    """What somebody does with an approval."""

    instance_id: str
    userid: str = ""
    remark: str = ""
    to: str = ""


class WantedFault(Wanted):
    """A fault for the next `count` times, or until it is cleared when that is null."""

    kind: str
    count: int | None = Field(default=1, ge=1)
    seconds: float = Field(default=0, ge=0, le=600)
    path: str = ""
    code: str = "systemError"
    status: int = Field(default=500, ge=200, le=599)
    fields: dict[str, Any] = {}


class WantedSubscription(Wanted):
    """Where the app's console page sends events; with `verify` the handshake decides whether it counts."""

    url: str
    token: str = seed.CALLBACK_TOKEN
    aes_key: str = seed.CALLBACK_AES_KEY
    owner_key: str = seed.APP_KEY
    envelope: str = Field(default="current", pattern="^(current|older)$")
    verify: bool = False


class WantedSettings(Wanted):
    """What may be adjusted while the simulator runs; what is left out stays."""

    retry_delays: tuple[float, ...] | None = None
    push_timeout: float | None = Field(default=None, gt=0)
    signature_names: tuple[str, ...] | None = Field(default=None, min_length=1)
    sign_anew: bool | None = None
    token_lifetime: int | None = Field(default=None, ge=1)
    clock_ahead: float | None = None


def as_sent(components: list[Component], name: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - plain JSON
    """One value as it would be sent to DingTalk."""
    component = next((one for one in components if name in {one.id, one.label}), None)
    text = value if isinstance(value, str) else _as_text(component, value)
    return {"id": component.id, "value": text} if component else {"name": name, "value": text}


def _as_text(component: Component | None, value: Any) -> str:  # noqa: ANN401 - plain JSON
    if component is not None and component.type == "TableField":
        return json.dumps([_row(row) for row in _rows(component, value)], ensure_ascii=False)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _rows(table: Component, value: object) -> list[Mapping[str, object]]:
    """Rows as label → value; a mapping fills a table of two columns."""
    if isinstance(value, Mapping):
        names = [child.label for child in table.children[:2]]
        return [dict(zip(names, pair, strict=True)) for pair in value.items()]
    return [row for row in value or [] if isinstance(row, Mapping)] if isinstance(value, list | None) else []


def _row(row: Mapping[str, object]) -> list[dict[str, str]]:
    return [{"name": name, "value": text if isinstance(text, str) else json.dumps(text)} for name, text in row.items()]
