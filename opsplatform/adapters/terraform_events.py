"""What Terraform says while it works: the messages of `-json`, folded into progress and rendered for people.

One fold serves plan and apply: a command begins with `version`, and `apply PLAN` repeats the planned changes.
OpenTofu sends the same messages.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STEPS = {"create": 1, "update": 1, "delete": 1, "replace": 2}
LONGEST_TEXT = 4000
LONGEST_MESSAGE = 4 << 20
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
FRAME = re.compile(r"^[╷│╵|]\s?", re.MULTILINE)


@dataclass(frozen=True)
class Diagnostic:
    """An error or warning in Terraform's words; `address` names the resource, or the place in the module."""

    summary: str
    detail: str = ""
    address: str = ""
    severity: str = "error"

    @property
    def sentence(self) -> str:
        """Summary and the first paragraph of the detail on one line."""
        first = " ".join(self.detail.strip().partition("\n\n")[0].split())
        text = f"{self.summary}: {first}" if first else self.summary
        return f"{text} ({self.address})"[:LONGEST_TEXT] if self.address else text[:LONGEST_TEXT]


@dataclass
class ResourceProgress:
    """One resource of the plan: `state` is planned, running, done or failed."""

    address: str
    action: str
    state: str = "planned"
    elapsed_seconds: float = 0
    id_key: str = ""
    id_value: str = ""


@dataclass(frozen=True)
class Completed:
    """One step that Terraform finished: what the journal keeps should the state be lost."""

    address: str
    action: str
    id_key: str = ""
    id_value: str = ""


@dataclass
class Progress:
    """The fold of the messages of one command."""

    by_address: dict[str, ResourceProgress] = field(default_factory=dict)
    journal: list[Completed] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    failed: int = 0
    _steps: Counter[str] = field(default_factory=Counter)
    _touched: dict[str, ResourceProgress] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many steps are planned; a replacement counts twice."""
        return sum(STEPS[resource.action] for resource in self.by_address.values())

    @property
    def done(self) -> int:
        """How many steps are finished."""
        return len(self.journal)

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are no warnings."""
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def take(self, message: str | Mapping[str, Any] | None) -> None:
        """Fold one message, or the line that carries it; what is unknown or misshapen changes nothing."""
        if isinstance(message, str):
            message = parse(message)
        kind = message.get("type") if message else None
        handler = _HANDLERS.get(kind) if isinstance(kind, str) else None
        if handler is None or message is None:
            return
        try:
            handler(self, message)
        except (KeyError, TypeError, AttributeError, ValueError):
            return

    def drain(self) -> list[ResourceProgress]:
        """The resources that changed since the last call."""
        touched = list(self._touched.values())
        self._touched = {}
        return touched

    def resources(self) -> list[dict[str, Any]]:
        """Every resource of the plan with its state, as JSON."""
        return [dict(vars(resource)) for resource in self.by_address.values()]

    def created(self) -> dict[str, str | None]:
        """What was made and not destroyed again, by address with the id its provider gave."""
        made: dict[str, str | None] = {}
        for step in self.journal:
            if step.action == "create":
                made[step.address] = step.id_value or None
            elif step.action == "delete":
                made.pop(step.address, None)
        return made

    def _begin(self, _message: Mapping[str, Any]) -> None:
        vars(self).update(vars(Progress()))  # a new command forgets the one before

    def _plan(self, message: Mapping[str, Any]) -> None:
        address, action = _resource(message["change"])
        if action in STEPS:
            self._touch(ResourceProgress(address, action))

    def _start(self, message: Mapping[str, Any]) -> None:
        self._step(message, "running")

    def _complete(self, message: Mapping[str, Any]) -> None:
        address, action = _resource(message["hook"])
        if action not in STEPS:
            return
        hook = message["hook"]
        self.journal.append(Completed(address, action, str(hook.get("id_key", "")), str(hook.get("id_value", ""))))
        self._steps[address] += 1
        planned = self.by_address.get(address)
        half = planned is not None and self._steps[address] < STEPS[planned.action]
        self._step(message, "running" if half else "done")

    def _fail(self, message: Mapping[str, Any]) -> None:
        if _resource(message["hook"])[1] in STEPS:
            self.failed += 1
            self._step(message, "failed")

    def _step(self, message: Mapping[str, Any], state: str) -> None:
        hook = message["hook"]
        address, action = _resource(hook)
        if action not in STEPS:
            return
        resource = self.by_address.get(address) or ResourceProgress(address, action)
        resource.state = state
        resource.elapsed_seconds = float(hook.get("elapsed_seconds", resource.elapsed_seconds))
        if hook.get("id_value") and action != "delete":
            resource.id_key, resource.id_value = str(hook.get("id_key", "")), str(hook["id_value"])
        self._touch(resource)

    def _touch(self, resource: ResourceProgress) -> None:
        self.by_address[resource.address] = resource
        self._touched[resource.address] = resource

    def _diagnose(self, message: Mapping[str, Any]) -> None:
        told = message["diagnostic"]
        place = told.get("range") or {}
        where = told.get("address") or (f"{place['filename']}:{place['start']['line']}" if place else "")
        severity = "error" if told.get("severity") == "error" else "warning"
        self.diagnostics.append(
            Diagnostic(plain(str(told["summary"])), plain(str(told.get("detail", ""))), plain(str(where)), severity)
        )

    def _summarise(self, message: Mapping[str, Any]) -> None:
        self.changes = dict(message["changes"])

    def _output(self, message: Mapping[str, Any]) -> None:
        self.outputs = dict(message["outputs"])

    def _drift(self, message: Mapping[str, Any]) -> None:
        self.drifted.append(_resource(message["change"])[0])


_HANDLERS = {
    "version": Progress._begin,  # noqa: SLF001 - the table of the class above
    "planned_change": Progress._plan,  # noqa: SLF001
    "apply_start": Progress._start,  # noqa: SLF001
    "apply_progress": Progress._start,  # noqa: SLF001
    "apply_complete": Progress._complete,  # noqa: SLF001
    "apply_errored": Progress._fail,  # noqa: SLF001
    "diagnostic": Progress._diagnose,  # noqa: SLF001
    "change_summary": Progress._summarise,  # noqa: SLF001
    "outputs": Progress._output,  # noqa: SLF001
    "resource_drift": Progress._drift,  # noqa: SLF001
}


def parse(text: str) -> dict[str, Any] | None:
    """The message a line carries; None when it is no message of Terraform's."""
    if not text.startswith("{") or len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def render(text: str, message: Mapping[str, Any] | None = None) -> str:
    """A line of output as people read it; `message` saves parsing it again."""
    message = parse(text) if message is None else message
    if message is None:
        return plain(text)[:LONGEST_TEXT]
    told = message.get("diagnostic")
    if message.get("type") == "diagnostic" and isinstance(told, dict):
        detail = str(told.get("detail", "")).strip()
        text = f"{str(told.get('severity', 'error')).capitalize()}: {told.get('summary', '')}"
        return plain(f"{text}\n{detail}" if detail else text)[:LONGEST_TEXT]
    return plain(str(message.get("@message") or text))[:LONGEST_TEXT]


def read_errors(text: str) -> list[Diagnostic]:
    """The errors of a text that Terraform wrote for people, without its frame."""
    bare = FRAME.sub("", plain(text))
    blocks = re.split(r"^Error: ", bare, flags=re.MULTILINE)[1:]
    return [Diagnostic(summary.strip(), detail.strip()) for summary, _, detail in (b.partition("\n") for b in blocks)]


def plain(text: str) -> str:
    """The text without colours and other control characters; lines stay."""
    return CONTROLS.sub("", ESCAPES.sub("", text))


def _resource(change: Mapping[str, Any]) -> tuple[str, str]:
    return str(change["resource"]["addr"]), str(change["action"])
