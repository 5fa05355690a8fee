"""Run one method: its function and the dump of its result in one transaction, once for each `request_id`."""

from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from opsplatform.core.db import in_transaction, reading, transaction
from opsplatform.core.errors import OpsError
from opsplatform.core.rpc_answers import Request
from opsplatform.core.rpc_method import Entry


def perform(entry: Entry, values: dict[str, Any], asked: Request | None = None) -> bytes:
    """Run the function and dump its result in one transaction, so that a bad result keeps nothing.

    A transaction that the database gave up is done again, unless the method does something elsewhere.
    """
    if not entry.method.changes:
        return entry.dump(entry.method.function(**values))  # what it read ends with the session, after the call

    def work() -> bytes:
        member = entry.dump(entry.method.function(**values))
        if asked is not None:
            asked.remember(member)
        return member

    if not entry.method.outside:
        return in_transaction(work)
    with transaction():
        return work()


def perform_once(entry: Entry, values: dict[str, Any], asked: Request) -> bytes:
    """The answer that was given before, or a new one; of two at the same time one wins and both hear its answer."""
    with reading():
        known = asked.recall()
    if known is not None:
        return known
    try:
        return _perform_outside(entry, values, asked) if entry.method.outside else perform(entry, values, asked)
    except (OpsError, SQLAlchemyError) as error:
        if not _is_certain(error):
            raise  # its caller has to hear what is uncertain; only who asks again hears that it is reserved
        with reading():
            known = asked.recall()
        if known is None:
            raise
        return known


def _perform_outside(entry: Entry, values: dict[str, Any], asked: Request) -> bytes:
    """Reserve the request before anything happens elsewhere; what is uncertain stays reserved."""
    with transaction():
        asked.reserve()
    try:
        with transaction():
            member = entry.dump(entry.method.function(**values))
            asked.fulfil(member)
    except OpsError as error:
        if _is_certain(error):
            with transaction():
                asked.give_up()
        raise
    return member


def _is_certain(error: Exception) -> bool:
    """Whether the call surely had no effect elsewhere."""
    return bool(getattr(error, "certain", True))
