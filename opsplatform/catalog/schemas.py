"""How modules and bindings leave the platform."""

from typing import Any

from marshmallow import fields
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, ma


class BindingSchema(ma.Schema):  # type: ignore[misc,name-defined]
    """A binding somebody made."""

    process_code = fields.String()
    fields_ = fields.Dict(attribute="fields", data_key="fields")
    bound_at = Moment()
    bound_by = fields.String()


class FormShown(TypedDict):
    """The template that orders a module; `source` is `offer` until somebody bound one, then `bound`."""

    process_code: str
    fields: dict[str, str]
    source: str
    bound_at: str | None
    bound_by: str | None


class OutputShown(TypedDict):
    """What a module answers."""

    description: str
    sensitive: bool


class LeaseShown(TypedDict):
    """How long what is opened may stay."""

    days: int


class RulesShown(TypedDict):
    """What may apply without a second look, and the bounds of a run."""

    on_agree: str
    max_resources: int
    actions: list[str]
    plan_minutes: int
    apply_minutes: int
    memory_mb: int
    cpu_seconds: int
    disk_mb: int


class ModuleShown(TypedDict):
    """One module; where `error` says why it cannot be used, what could not be read is null or empty."""

    name: str
    title: str
    title_en: str
    description: str
    version: str | None
    inputs: dict[str, Any] | None
    outputs: dict[str, OutputShown]
    form: FormShown | None
    environments: list[str]
    lease: LeaseShown | None
    rules: RulesShown | None
    error: str | None
