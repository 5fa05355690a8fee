"""The catalogue: modules, the DingTalk templates that order them, and orders made from forms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.catalog import bindings, modules
from opsplatform.catalog.bindings import Bound
from opsplatform.catalog.fill import fill
from opsplatform.catalog.modules import Module
from opsplatform.catalog.orders import FormRefused, Limits, Order, make_order, read_environment, read_form
from opsplatform.catalog.plans import check_plan
from opsplatform.catalog.schemas import ModuleShown
from opsplatform.catalog.showing import show
from opsplatform.catalog.trees import TreeError
from opsplatform.core.errors import Conflict, InvalidParams, NotFound

__all__ = [
    "Bound",
    "FilledForm",
    "FormRefused",
    "Limits",
    "ModuleShown",
    "Order",
    "bind",
    "check_plan",
    "current_version",
    "fill_form",
    "get_module",
    "list_modules",
    "order_for",
    "read_modules",
    "remember_modules",
    "resolve",
    "sensitive_components",
    "template_of",
    "version_files",
]


@dataclass(frozen=True)
class FilledForm:
    """A DingTalk form that orders a module, ready to be submitted."""

    process_code: str
    values: list[dict[str, str]]
    hidden: frozenset[str]  # components whose values nobody may see


def list_modules() -> list[ModuleShown]:
    """Every module, by name; those that cannot be used say why."""
    found = modules.all_modules()
    bound = {one.module: one for one in bindings.bindings(found)}
    return [show(module, bound.get(module.name)) for module in found]


def get_module(name: str) -> ModuleShown:
    """One module, or NotFound."""
    return show(_find(name), _bound_to(name))


def template_of(process_code: str) -> Bound | None:
    """The template with this code, as it is bound now; None when it orders no module."""
    return next((one for one in bindings.bindings(modules.all_modules()) if one.process_code == process_code), None)


def resolve(bound: Bound, values: Sequence[FormValue]) -> Order:
    """The order a filled-in form makes; FormRefused names each field that does not fit."""
    module = modules.find(bound.module) or Module(bound.module, error="its folder is gone")
    environment = read_environment(module, bound.fields, values)
    return make_order(module, read_form(module, bound.fields, values), environment)


def current_version(name: str) -> str:
    """The version of a module as its folder is now; Conflict when it cannot be used."""
    module = _find(name)
    if module.error is not None or module.version is None:
        raise Conflict(f"Module {name} cannot be used: {module.error}")
    return module.version


def sensitive_components(bound: Bound) -> frozenset[str]:
    """Ids, aliases or labels of the form's components whose values nobody may see."""
    module = modules.find(bound.module)
    if module is None or not module.inputs:
        return frozenset(bound.fields.values())  # which of them are secret cannot be told, so all are hidden
    properties = module.inputs["properties"]
    return frozenset(ref for name, ref in bound.fields.items() if properties.get(name, {}).get("writeOnly"))


def order_for(name: str, inputs: Mapping[str, Any], environment: str | None = None) -> Order:
    """The order that these inputs make without a form; FormRefused when they do not fit."""
    return make_order(_find(name), inputs, environment)


def fill_form(name: str, inputs: Mapping[str, Any], environment: str | None = None) -> FilledForm:
    """The form that orders these inputs; InvalidParams names each that does not fit, or that no form can say."""
    module = _find(name)
    if module.error is not None:
        raise Conflict(f"Module {name} cannot be used: {module.error}")
    bound = _bound_to(name)
    if bound is None:
        raise Conflict(f"No DingTalk template orders module {name} yet; bind one with module.bind.")
    values = fill(module, bound.fields, inputs, environment)
    return FilledForm(bound.process_code, values, sensitive_components(bound))


def bind(name: str, process_code: str, fields: Mapping[str, str], by: str) -> ModuleShown:
    """Let a DingTalk template order a module; `fields` maps inputs to component ids, or to labels."""
    module = _find(name)
    if module.error is not None:
        raise Conflict(f"Module {name} cannot be bound before it is mended: {module.error}")
    errors = bindings.errors_of(module, process_code, fields)
    if errors:
        raise InvalidParams(errors)
    bindings.save(name, process_code, fields, by)
    return get_module(name)


def version_files(name: str, version: str) -> list[tuple[str, bytes]]:
    """The module's files as they are now, without the offer; Conflict when they are no longer this version."""
    try:
        tree = modules.tree_of(name)
    except (TreeError, OSError) as error:
        raise Conflict(f"Module {name} cannot be read: {error}") from error
    if tree is None:
        raise NotFound(f"There is no module {name}.")
    if tree.version != version:
        raise Conflict(f"Module {name} was changed after it was ordered; order it again or restore that version.")
    return tree.terraform_files()


def read_modules() -> list[Module]:
    """Every module as its folder is now; one that is new or was changed is parsed, which takes a moment."""
    return modules.all_modules()


def remember_modules(found: Sequence[Module]) -> None:
    """Keep what was read, so that other processes and later starts need not parse it again."""
    for module in found:
        modules.remember(module)


def _bound_to(name: str) -> Bound | None:
    return next((one for one in bindings.bindings(modules.all_modules()) if one.module == name), None)


def _find(name: str) -> Module:
    module = modules.find(name)
    if module is None:
        raise NotFound(f"There is no module {name}.")
    return module
