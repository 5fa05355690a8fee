"""An order: which module, in which version, with which values, within which bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.catalog import gate
from opsplatform.catalog.checking import problems
from opsplatform.catalog.forms import find_component, read_component
from opsplatform.catalog.introspect import EPHEMERAL
from opsplatform.catalog.modules import ENVIRONMENT, Module
from opsplatform.catalog.offers import EnvironmentField, Offer
from opsplatform.catalog.texts import Mismatch, clean, normalise


class FormRefused(Exception):
    """What was filled in does not fit the module; `errors` has sentences by input."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """All of it as one text for people."""
        return "；".join(sentence for sentences in self.errors.values() for sentence in sentences)


@dataclass(frozen=True)
class Limits:
    """Bounds of one run, and what its plan may hold; plain values, so that a run can keep them as JSON."""

    plan_seconds: int
    apply_seconds: int
    max_resources: int
    actions: Sequence[str]
    providers: Sequence[str]
    data_sources: Sequence[str]
    provisioners: Sequence[str]
    memory_mb: int = 2048
    cpu_seconds: int = 3600
    disk_mb: int = 1024


@dataclass(frozen=True)
class Order:
    """What a run needs to know about what was ordered; variables go by Terraform's names.

    Attributes:
        sensitive: variables whose values nobody may see.
        ephemeral: those of them that Terraform keeps in no file, so that an apply must be given them again.
    """

    module: str
    version: str
    variables: dict[str, Any]
    sensitive: tuple[str, ...]
    environment: str
    apply_on_agree: bool
    limits: Limits
    ephemeral: tuple[str, ...] = ()


def read_form(module: Module, fields: Mapping[str, str], values: Sequence[FormValue]) -> dict[str, Any]:
    """The inputs that were filled in, and the environment where the form chooses it; or FormRefused."""
    offer_of(module)  # refuses a module that cannot be used
    inputs: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name in module.inputs["properties"]:
        if name not in fields:
            continue
        try:
            inputs[name] = _read_input(module, name, find_component(fields[name], values))
        except Mismatch as error:
            errors[name] = [f"{label_of(module, name)}: {error}"]
    if errors:
        raise FormRefused(errors)
    return {name: value for name, value in inputs.items() if value is not None}


def _read_input(module: Module, name: str, component: FormValue | None) -> Any:  # noqa: ANN401 - any JSON value
    if component is not None:
        return read_component(component, module.inputs["properties"][name], offer_of(module).form.get(name))
    if name in module.inputs["required"]:
        raise Mismatch("表单里没有这个控件，模板可能改过 / the form has no such component; was the template changed?")
    return None


def read_environment(module: Module, fields: Mapping[str, str], values: Sequence[FormValue]) -> str | None:
    """The environment the form chooses, or None when it leaves that to the offer."""
    entry = offer_of(module).environment_field
    if entry is None:
        return None
    try:
        component = find_component(fields.get(ENVIRONMENT) or environment_reference(entry), values)
        text = normalise(component.value or "") if component is not None else ""
    except Mismatch as error:
        raise FormRefused({ENVIRONMENT: [f"{entry.label} ({ENVIRONMENT}): {error}"]}) from error
    options = {normalise(label): behind for label, behind in entry.options.items()}
    return None if text in {"", "null"} else options.get(text, text)


def environment_reference(entry: EnvironmentField) -> str:
    """What finds the component that chooses the environment."""
    return entry.component or entry.label


def make_order(module: Module, inputs: Mapping[str, Any], environment: str | None) -> Order:
    """The order for these inputs, or FormRefused with everything that does not fit."""
    offer = offer_of(module)
    errors = _input_errors(module, inputs)
    environment = environment or offer.environments[0]
    if environment not in offer.environments:
        label = offer.environment_field.label if offer.environment_field else "环境"
        names = ", ".join(offer.environments)
        errors[ENVIRONMENT] = [f"{label} ({ENVIRONMENT}): 只能是 {names} 之一 / must be one of {names}"]
    if errors:
        raise FormRefused(errors)
    properties = module.inputs["properties"]
    return Order(
        module=module.name,
        version=str(module.version),
        variables={module.variables[name]: value for name, value in inputs.items() if value is not None},
        sensitive=tuple(module.variables[name] for name in properties if properties[name].get("writeOnly")),
        environment=environment,
        apply_on_agree=offer.apply.on_agree == "create_only",
        limits=limits_of(offer),
        ephemeral=tuple(module.variables[name] for name in properties if properties[name].get(EPHEMERAL)),
    )


def limits_of(offer: Offer) -> Limits:
    """The bounds an offer sets."""
    return Limits(
        plan_seconds=offer.limits.plan_minutes * 60,
        apply_seconds=offer.limits.apply_minutes * 60,
        max_resources=offer.limits.max_resources,
        actions=tuple(offer.limits.actions),
        providers=tuple(sorted(gate.allowed_providers(offer.allow))),
        data_sources=tuple(offer.allow.data_sources),
        provisioners=tuple(offer.allow.provisioners),
        memory_mb=offer.limits.memory_mb,
        cpu_seconds=offer.limits.cpu_seconds,
        disk_mb=offer.limits.disk_mb,
    )


def _input_errors(module: Module, inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    properties = module.inputs["properties"]
    errors: dict[str, list[str]] = {}
    for name in inputs:
        if name not in properties:
            errors[name] = [f"{name}: 没有这个输入 / there is no such input"]
    for name, schema in properties.items():
        value = inputs.get(name)
        if value is None:
            found = ["没有填写 / is missing"] if name in module.inputs["required"] else []
        else:
            found = _problems(value, schema)
        if found:
            errors[name] = [f"{label_of(module, name)}: {text}" for text in found]
    return errors


def _problems(value: Any, schema: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any JSON value
    try:
        clean(value)
    except Mismatch as error:
        return [str(error)]
    return problems(value, schema)


def label_of(module: Module, name: str) -> str:
    """The input as people know it: its label on the form and its name."""
    title = module.inputs["properties"][name]["title"]
    return name if title == name else f"{title} ({name})"


def offer_of(module: Module) -> Offer:
    """The module's offer, or FormRefused when the module cannot be used."""
    if module.offer is None or module.error is not None:
        raise FormRefused(
            {"module": [f"模块 {module.name} 不可用 / module {module.name} cannot be used: {module.error}"]}
        )
    return module.offer
