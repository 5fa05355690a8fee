"""`resource.*`: who opened what, when, and who approved it."""

import datetime as dt
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from opsplatform.core.rpc import Method, caller
from opsplatform.core.schemas import Cursor, Limit, Page, RowId, ShortText, page
from opsplatform.inventory import schemas, service
from opsplatform.inventory.models import Resource, ResourceEvent
from opsplatform.inventory.schemas import ResourceEventOut, ResourceOut
from opsplatform.inventory.service import Filter

State = Literal["active", "destroyed", "orphaned"]
Query = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=1000)]


def list_resources(  # noqa: PLR0913 - the filters of the contract
    applicant: ShortText | None = None,
    module: ShortText | None = None,
    environment: ShortText | None = None,
    type: ShortText | None = None,  # noqa: A002 - the contract's name
    state: State | None = None,
    created_from: dt.datetime | None = None,
    created_to: dt.datetime | None = None,
    query: Query | None = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> Page[ResourceOut]:
    """Resources, newest first."""
    wanted = _filter(applicant, module, environment, type, state, created_from, created_to, query)
    found = page(service.find(wanted), Resource.id, limit=limit, cursor=cursor, dump=schemas.resources.dump)
    return cast("Page[ResourceOut]", found)


def get_resource(id: RowId) -> ResourceOut:  # noqa: A002 - the contract's name
    """One resource."""
    return cast("ResourceOut", schemas.resource.dump(service.get(id)))


def resource_history(id: RowId, limit: Limit = 50, cursor: Cursor | None = None) -> Page[ResourceEventOut]:  # noqa: A002 - the contract's name
    """What happened to a resource, newest first."""
    found = page(service.history(id), ResourceEvent.id, limit=limit, cursor=cursor, dump=schemas.events.dump)
    return cast("Page[ResourceEventOut]", found)


def forget_resource(id: RowId, reason: Reason) -> ResourceOut:  # noqa: A002 - the contract's name
    """End an orphaned resource that a person has looked after; who, when and why stand in its history."""
    found = service.forget(id, by=caller().username, reason=reason)
    return cast("ResourceOut", schemas.resource.dump(found))


def export_resources(  # noqa: PLR0913 - the filters of the contract
    applicant: ShortText | None = None,
    module: ShortText | None = None,
    environment: ShortText | None = None,
    type: ShortText | None = None,  # noqa: A002 - the contract's name
    state: State | None = None,
    created_from: dt.datetime | None = None,
    created_to: dt.datetime | None = None,
    query: Query | None = None,
) -> str:
    """The matching resources as CSV text."""
    return service.export(_filter(applicant, module, environment, type, state, created_from, created_to, query))


def _filter(*values: Any) -> Filter:  # noqa: ANN401 - the filters above, in their order
    """The filter, with times in UTC: a time without a zone is taken as UTC."""
    wanted = Filter(*values)
    times = {name: getattr(wanted, name) for name in ("created_from", "created_to")}
    aware = {n: t.replace(tzinfo=dt.UTC) if t and t.tzinfo is None else t for n, t in times.items()}
    return Filter(**{**wanted.__dict__, **aware})


METHODS = (
    Method("resource.list", list_resources),
    Method("resource.get", get_resource),
    Method("resource.history", resource_history),
    Method("resource.export", export_resources),
    Method("resource.forget", forget_resource, changes=True),
)
