"""Which DingTalk template orders which module, and where each input stands on its form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.exc import IntegrityError

from opsplatform.catalog.models import Binding
from opsplatform.catalog.modules import ENVIRONMENT, Module
from opsplatform.catalog.offers import Offer
from opsplatform.catalog.orders import environment_reference
from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict
from opsplatform.core.prebuilt import perform, table_of

LONGEST_PROCESS_CODE = 128
LONGEST_REFERENCE = 100
ALL = select(table_of(Binding)).order_by(Binding.module)


@dataclass(frozen=True)
class Bound:
    """The template of a module; without a row it is the one its offer proposes."""

    module: str
    process_code: str
    fields: Mapping[str, str]
    row: Row[Any] | None = None


def bindings(modules: Sequence[Module]) -> list[Bound]:
    """The template of each module: the bound one, else the one its offer proposes while nobody else has it."""
    rows = perform(ALL, {}).all()
    found = [Bound(row.module, row.process_code, row.fields, row) for row in rows]
    names = {bound.module for bound in found}
    taken = {bound.process_code for bound in found}
    for module in modules:
        offer = module.offer
        if offer is None or offer.process_code is None or module.name in names or offer.process_code in taken:
            continue
        found.append(Bound(module.name, offer.process_code, _proposed_fields(offer)))
        taken.add(offer.process_code)
    return found


def _proposed_fields(offer: Offer) -> dict[str, str]:
    """Where the offer says each input stands."""
    fields = {name: entry.reference for name, entry in offer.form.items()}
    if offer.environment_field is not None:
        fields[ENVIRONMENT] = environment_reference(offer.environment_field)
    return fields


def errors_of(module: Module, process_code: str, fields: Mapping[str, str]) -> dict[str, list[str]]:
    """What is wrong with a binding somebody wants to make, by param."""
    errors: dict[str, list[str]] = {}
    known = set(module.inputs["properties"])
    if module.offer is not None and module.offer.environment_field is not None:
        known.add(ENVIRONMENT)
    if not 0 < len(process_code.strip()) <= LONGEST_PROCESS_CODE:
        errors["process_code"] = [f"Give the template's process code, at most {LONGEST_PROCESS_CODE} characters."]
    for name, reference in fields.items():
        if name not in known:
            errors[f"fields.{name}"] = [f"{module.name} has no such input; it has {', '.join(sorted(known))}."]
        elif not 0 < len(reference.strip()) <= LONGEST_REFERENCE:
            errors[f"fields.{name}"] = ["Give the component's id or its label."]
    for name in module.inputs["required"]:
        if name not in fields:
            errors[f"fields.{name}"] = ["This input is required, so the form must have a component for it."]
    return errors


def save(module: str, process_code: str, fields: Mapping[str, str], by: str) -> None:
    """Keep a binding in place of an earlier one; Conflict when the template orders another module."""
    owner = db.session.scalar(select(Binding.module).where(Binding.process_code == process_code))
    if owner is not None and owner != module:
        raise Conflict(f"The template {process_code} orders module {owner} already; bind that module to another first.")
    row = db.session.scalar(select(Binding).where(Binding.module == module)) or Binding(module=module)
    row.process_code, row.fields, row.bound_at, row.bound_by = process_code, dict(fields), now(), by
    db.session.add(row)
    try:
        db.session.flush()
    except IntegrityError as error:  # two people bind at once: the database decides
        raise Conflict(
            f"The template {process_code} or module {module} was bound by somebody else just now."
        ) from error
