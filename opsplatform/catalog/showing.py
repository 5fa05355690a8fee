"""Modules as plain values for the console and other programs."""

from opsplatform.catalog.bindings import Bound
from opsplatform.catalog.modules import Module
from opsplatform.catalog.schemas import BindingSchema, FormShown, ModuleShown, OutputShown

_binding_schema = BindingSchema()


def show(module: Module, bound: Bound | None) -> ModuleShown:
    """One module with its binding."""
    shown: ModuleShown = {
        "name": module.name,
        "title": module.name,
        "title_en": module.name,
        "description": "",
        "version": module.version,
        "inputs": module.inputs or None,
        "outputs": {name: _output(entry) for name, entry in module.outputs.items()},
        "form": None if bound is None else _form(bound),
        "environments": [],
        "lease": None,
        "rules": None,
        "error": module.error,
    }
    _add_offer(shown, module)
    return shown


def _output(entry: dict[str, object]) -> OutputShown:
    return {"description": str(entry["description"]), "sensitive": bool(entry["sensitive"])}


def _form(bound: Bound) -> FormShown:
    form: FormShown = {
        "process_code": bound.process_code,
        "fields": dict(bound.fields),
        "source": "offer",
        "bound_at": None,
        "bound_by": None,
    }
    if bound.row is not None:
        row = _binding_schema.dump(bound.row)
        form |= {"source": "bound", "bound_at": row["bound_at"], "bound_by": row["bound_by"]}
    return form


def _add_offer(shown: ModuleShown, module: Module) -> None:
    offer = module.offer
    if offer is None:
        return
    shown["title"] = offer.title.zh
    shown["title_en"] = offer.title.en or offer.title.zh
    shown["description"] = offer.description.zh if offer.description else ""
    shown["environments"] = list(offer.environments)
    shown["lease"] = {"days": offer.lease_days} if offer.lease_days else None
    shown["rules"] = {
        "on_agree": offer.apply.on_agree,
        "max_resources": offer.limits.max_resources,
        "actions": list(offer.limits.actions),
        "plan_minutes": offer.limits.plan_minutes,
        "apply_minutes": offer.limits.apply_minutes,
        "memory_mb": offer.limits.memory_mb,
        "cpu_seconds": offer.limits.cpu_seconds,
        "disk_mb": offer.limits.disk_mb,
    }
