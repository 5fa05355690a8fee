"""The second gate: what a plan shows, that no text of a module could."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from opsplatform.catalog.gate import BUILTIN, DATA_SOURCES_REFUSED, provider_source
from opsplatform.catalog.orders import Limits

_MEANINGLESS = {"no-op", "read", "forget"}


def check_plan(limits: Limits, plan: Mapping[str, Any], *, actions: Collection[str] | None = None) -> list[str]:
    """What forbids this plan, each one sentence; nothing when it may be shown to an approver.

    `plan` is `terraform show -json` of the plan; `actions` stands in for the offer's where a run of another kind
    (a destroy) was ordered.
    """
    changes = [change for change in plan.get("resource_changes", []) if _actions(change)]
    found = list(_number(limits, changes))
    found += _forbidden_actions(changes, limits.actions if actions is None else actions)
    found += _providers(limits, plan)
    found += _provisioners(limits, plan.get("configuration", {}).get("root_module", {}))
    return found


def _actions(change: Mapping[str, Any]) -> set[str]:
    return set(change.get("change", {}).get("actions", [])) - _MEANINGLESS


def _number(limits: Limits, changes: list[Mapping[str, Any]]) -> Iterator[str]:
    if len(changes) > limits.max_resources:
        yield f"the plan changes {len(changes)} resources, the module may change {limits.max_resources}"


def _forbidden_actions(changes: list[Mapping[str, Any]], allowed: Collection[str]) -> Iterator[str]:
    for action in ("create", "update", "delete"):
        touched = [str(change.get("address")) for change in changes if action in _actions(change)]
        if touched and action not in allowed:
            more = f" and {len(touched) - 1} more" if len(touched) > 1 else ""
            yield f"the plan would {action} {touched[0]}{more}, which the module may not"


def _providers(limits: Limits, plan: Mapping[str, Any]) -> Iterator[str]:
    configured = plan.get("configuration", {}).get("provider_config", {}).values()
    used = {str(entry.get("full_name", "")) for entry in configured}
    used |= {str(change.get("provider_name", "")) for change in plan.get("resource_changes", [])}
    for source in sorted(provider_source(name) for name in used if name):
        if source not in {BUILTIN, *limits.providers}:
            yield f"the plan uses the provider {source}, which is not on the allow-list"


def _provisioners(limits: Limits, module: Mapping[str, Any]) -> Iterator[str]:
    """Provisioners and refused data sources, in sub-modules too."""
    for resource in module.get("resources", []):
        for provisioner in resource.get("provisioners", []):
            if provisioner.get("type") not in limits.provisioners:
                yield f"{resource.get('address')} runs the provisioner {provisioner.get('type')}, which is not allowed"
        kind = str(resource.get("type"))
        if resource.get("mode") == "data" and kind in DATA_SOURCES_REFUSED - set(limits.data_sources):
            yield f"{resource.get('address')} reads the data source {kind}, which is not allowed"
    for call in module.get("module_calls", {}).values():
        yield from _provisioners(limits, call.get("module", {}))
