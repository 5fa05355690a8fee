"""The inventory: record what a state holds, find who opened what."""

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, func, insert, or_, select

from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.inventory.models import Resource, ResourceEvent

EXPORT_LIMIT = 100_000
SLACK = dt.timedelta(hours=1)
LAST_ID = 2**63 - 1
FORMULA_BEGINS = tuple("=+-@＝＋－＠\t\r\n")  # what a spreadsheet takes for the beginning of a formula
EXPORT_COLUMNS = (
    "id", "address", "type", "name", "provider_id", "module", "workspace", "environment", "applicant_userid",
    "applicant_name", "approval_number", "approval_title", "approvers", "run_id", "state", "created_at",
    "destroyed_at", "expires_at",
)  # fmt: skip


class Found(Protocol):
    """A resource as a state holds it; sensitive attributes are masked already."""

    @property
    def address(self) -> str:
        """Its place in the module."""
        ...

    @property
    def type(self) -> str:
        """Terraform's type."""
        ...

    @property
    def name(self) -> str:
        """Its name in the module."""
        ...

    @property
    def provider_id(self) -> str | None:
        """Its id at the provider."""
        ...

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes, sensitive ones masked."""
        ...


@dataclass(frozen=True)
class Filter:
    """What to look for; None means anything."""

    applicant: str | None = None
    module: str | None = None
    environment: str | None = None
    type: str | None = None
    state: str | None = None
    created_from: dt.datetime | None = None
    created_to: dt.datetime | None = None
    query: str | None = None


def record(owner: Mapping[str, Any], found: Sequence[Found], *, orphans: Mapping[str, str | None]) -> None:
    """Bring the inventory of one workspace to what its state holds now.

    `owner` carries run, module, workspace, environment, applicant, approval and approvers as plain values. A
    resource whose id at the provider changed was replaced: the old row ends, a new one begins. `orphans` exist
    outside the state, by address with the provider's id; they stay orphaned until the state holds that very object.
    """
    active = {row.address: row for row in _rows(owner["workspace"], "active")}
    orphaned = {row.provider_id: row for row in _rows(owner["workspace"], "orphaned") if row.provider_id}
    fresh: list[dict[str, Any]] = []
    for resource in found:
        known = active.get(resource.address)
        if known is not None and known.provider_id == resource.provider_id:
            _change(known, resource, owner["run_id"])
            del active[resource.address]
            continue
        fresh.append(_row(owner, resource, "active"))
        if resource.provider_id in orphaned:  # it was taken in; any other orphan still exists, whatever stands there
            _end(orphaned.pop(resource.provider_id), owner["run_id"])
    fresh += [
        _row(owner, _orphan(address, provider_id), "orphaned")
        for address, provider_id in orphans.items()
        if provider_id is None or provider_id not in orphaned
    ]
    for gone in active.values():
        _end(gone, owner["run_id"])
    _add(fresh, owner["run_id"])


def orphans(workspace: str) -> dict[str, str]:
    """What exists outside the state of a workspace and can be named: address and the provider's id, the newest ones."""
    return {row.address: row.provider_id for row in _rows(workspace, "orphaned") if row.provider_id}


def find(wanted: Filter) -> Select[Resource]:
    """The resources that match; the caller pages through them, newest first."""
    return select(Resource).where(*_conditions(wanted))


def get(resource_id: int) -> Resource:
    """The resource, or NotFound."""
    resource = db.session.get(Resource, resource_id)
    if resource is None:
        raise NotFound(f"There is no resource {resource_id}.")
    return resource


def forget(resource_id: int, *, by: str, reason: str) -> Resource:
    """End an orphan that a person has looked after: it is gone, or somebody else's business now."""
    resource = db.session.get(Resource, resource_id, with_for_update=True, populate_existing=True)
    if resource is None:
        raise NotFound(f"There is no resource {resource_id}.")
    if resource.state != "orphaned":
        raise Conflict(
            f"Resource {resource_id} is {resource.state}; only an orphaned one can be forgotten.",
            state=resource.state,
            allowed=[],
        )
    _end(resource, resource.run_id, by=by, note=reason)
    return resource


def history(resource_id: int) -> Select[ResourceEvent]:
    """What happened to a resource; the caller pages through it."""
    get(resource_id)
    return select(ResourceEvent).where(ResourceEvent.resource_id == resource_id)


def export(wanted: Filter) -> str:
    """The matching resources as CSV, newest first, with a header; a spreadsheet runs nothing of it as a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(EXPORT_COLUMNS)
    query = find(wanted).order_by(Resource.id.desc()).limit(EXPORT_LIMIT).execution_options(yield_per=1000)
    for resource in db.session.scalars(query):
        writer.writerow([_cell(value) for value in _csv_values(resource)])
    return out.getvalue()


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    equal = {
        Resource.applicant_userid: wanted.applicant,
        Resource.module: wanted.module,
        Resource.environment: wanted.environment,
        Resource.type: wanted.type,
        Resource.state: wanted.state,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if wanted.created_from is not None:
        conditions.append(Resource.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        conditions += [Resource.created_at < wanted.created_to, _before(wanted.created_to)]
    if wanted.query:
        columns = (Resource.name, Resource.address, Resource.provider_id, Resource.applicant_name, Resource.workspace)
        conditions.append(or_(*(column.contains(wanted.query, autoescape=True) for column in columns)))
    return conditions


def _before(moment: dt.datetime) -> ColumnElement[bool]:
    """Where a page that ends at `moment` may begin to look, so that it need not walk past everything newer.

    Ids grow with time, but for transactions that overlap; nothing takes so long that the slack would not cover it.
    """
    later = select(Resource.id).where(Resource.created_at >= moment + SLACK).order_by(Resource.created_at).limit(1)
    return Resource.id < func.coalesce(later.scalar_subquery(), LAST_ID)


def _rows(workspace: str, state: str) -> Sequence[Resource]:
    query = select(Resource).where(Resource.workspace == workspace, Resource.state == state)
    return db.session.scalars(query.order_by(Resource.id)).all()


def _change(known: Resource, resource: Found, run_id: int) -> None:
    if known.attributes != resource.attributes:
        known.attributes = resource.attributes
        db.session.add(ResourceEvent(resource_id=known.id, run_id=run_id, action="changed"))


def _end(resource: Resource, run_id: int, *, by: str | None = None, note: str | None = None) -> None:
    resource.state = "destroyed"
    resource.destroyed_at = now()
    db.session.add(ResourceEvent(resource_id=resource.id, run_id=run_id, action="destroyed", by=by, note=note))


def _row(owner: Mapping[str, Any], resource: Found, state: str) -> dict[str, Any]:
    return {
        **owner,
        "address": resource.address[:512],
        "type": resource.type,
        "name": str(resource.attributes.get("name") or resource.name)[:255],
        "provider_id": resource.provider_id and resource.provider_id[:512],
        "attributes": resource.attributes,
        "state": state,
        "created_at": now(),
    }


@dataclass(frozen=True)
class _Orphan:
    address: str
    type: str
    name: str
    provider_id: str | None
    attributes: dict[str, Any]


def _orphan(address: str, provider_id: str | None) -> Found:
    type_name, _, name = address.partition("[")[0].rpartition(".")
    command = f"terraform import '{address}' '{provider_id or '<id>'}'"
    return _Orphan(address, type_name.rpartition(".")[2], name, provider_id, {"import_command": command})


def _add(rows: list[dict[str, Any]], run_id: int) -> None:
    """Insert many at once: a fleet has thousands."""
    if not rows:
        return
    ids = db.session.scalars(insert(Resource).returning(Resource.id, sort_by_parameter_order=True), rows).all()
    actions = [
        {"resource_id": i, "run_id": run_id, "action": _ACTIONS[row["state"]]} for i, row in zip(ids, rows, strict=True)
    ]
    db.session.execute(insert(ResourceEvent), actions)


_ACTIONS = {"active": "created", "orphaned": "orphaned"}


def _csv_values(resource: Resource) -> list[Any]:
    approval = resource.approval or {}
    approvers = ", ".join(str(each.get("name") or each.get("userid")) for each in resource.approvers)
    extra = {
        "approval_number": approval.get("business_id") or approval.get("instance_id"),
        "approval_title": approval.get("title"),
        "approvers": approvers,
    }
    return [extra[column] if column in extra else getattr(resource, column) for column in EXPORT_COLUMNS]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINS) else text
