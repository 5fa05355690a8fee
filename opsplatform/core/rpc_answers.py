"""Answers of calls that carried a `request_id`: the same call again gets the same answer and does nothing twice.

The row is written in the transaction of the change it answers for. What is kept is sealed, because an answer or the
digest of a password must not lie in clear.
"""

import datetime as dt
import hashlib
import json
from typing import Any, TypeVar

from sqlalchemy import Delete, Select, String, UniqueConstraint, Update, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, LongBytes, db, now
from opsplatform.core.errors import Conflict, InvalidParams
from opsplatform.core.rpc_method import LONGEST_NAME
from opsplatform.core.sealing import SealedColumn, open_sealed, seal

SHORTEST_REQUEST_ID = 8
LONGEST_REQUEST_ID = 64
DIGEST_BYTES = 32

Statement = TypeVar("Statement", Select[Any], Update, Delete)


class AnsweredCall(Base):
    """One call that was answered; `request_key` is the hash of the client's `request_id`."""

    __tablename__ = "answered_call"
    __table_args__ = (UniqueConstraint("user_id", "method", "request_key"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(Id)
    method: Mapped[str] = mapped_column(String(LONGEST_NAME))
    request_key: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LongBytes)
    created_at: Mapped[dt.datetime] = mapped_column(default=now, index=True)


class Request:
    """A call as its caller named it: who, which method, which `request_id`, which params."""

    def __init__(self, user_id: int, method: str, request_id: str, named: dict[str, Any]) -> None:
        self.user_id = user_id
        self.method = method
        self.key = hashlib.sha256(request_id.encode()).hexdigest()
        self.digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).digest()
        self._place = _context(user_id, method, self.key)

    def recall(self) -> bytes | None:
        """What was answered before, None when nothing was, Conflict when it was asked with other params."""
        sealed = db.session.scalar(self._rows(select(AnsweredCall.sealed)))
        if sealed is None:
            return None
        kept = open_sealed(sealed, self._place)
        if kept[:DIGEST_BYTES] != self.digest:
            raise Conflict("This request_id was used before with other params; make a new one.")
        if len(kept) == DIGEST_BYTES:
            raise Conflict(
                "The same request is under way, or nobody knows how it ended; look before you make a new one."
            )
        return kept[DIGEST_BYTES:]

    def reserve(self) -> None:
        """Keep others from doing the same before there is an answer; the unique key lets one through."""
        self.remember(b"")

    def fulfil(self, answer: bytes) -> None:
        """Put the answer in the place that was reserved."""
        db.session.execute(self._rows(update(AnsweredCall)).values(sealed=seal(self.digest + answer, self._place)))

    def give_up(self) -> None:
        """Let the same request be tried again."""
        db.session.execute(self._rows(delete(AnsweredCall)))

    def remember(self, answer: bytes) -> None:
        """Keep the answer; the unique key lets one of two equal calls through."""
        sealed = seal(self.digest + answer, self._place)
        db.session.add(
            AnsweredCall(
                user_id=self.user_id, method=self.method, request_key=self.key, sealed=sealed, created_at=now()
            )
        )
        db.session.flush()

    def _rows(self, statement: Statement) -> Statement:
        """The statement, for this call's row only."""
        return statement.where(
            AnsweredCall.user_id == self.user_id,
            AnsweredCall.method == self.method,
            AnsweredCall.request_key == self.key,
        )


def take_request_id(params: list[Any] | dict[str, Any]) -> str | None:
    """Take `request_id` out of named params."""
    if not isinstance(params, dict) or "request_id" not in params:
        return None
    request_id = params.pop("request_id")
    if isinstance(request_id, str) and SHORTEST_REQUEST_ID <= len(request_id) <= LONGEST_REQUEST_ID:
        return request_id
    raise InvalidParams({"request_id": [f"Must be a text of {SHORTEST_REQUEST_ID} to {LONGEST_REQUEST_ID} characters"]})


def forget_answers(before: dt.datetime) -> None:
    """Delete answers nobody will ask for again; belongs inside a transaction."""
    db.session.execute(delete(AnsweredCall).where(AnsweredCall.created_at < before))


def _context(user_id: int, method: str, request_key: str) -> str:
    return f"answered_call:{user_id}:{method}:{request_key}"


SEALED = SealedColumn(
    AnsweredCall.sealed, select(AnsweredCall.user_id, AnsweredCall.method, AnsweredCall.request_key), _context
)
