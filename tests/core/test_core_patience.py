"""What nobody else knows is recorded also where the database is away for a while."""

import pytest
from sqlalchemy.exc import OperationalError

from opsplatform.core import patience


@pytest.fixture
def away(monkeypatch):
    """A database that is away so many times, on a clock whose pauses take a minute; gives the attempts."""
    attempts, clock = [], [0.0]
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience, "sleep", lambda _seconds: clock.append(clock.pop() + 60.0))

    def answer(times):
        def in_transaction(work):
            attempts.append(work)
            if len(attempts) <= times:
                raise OperationalError("UPDATE", {}, Exception("connection refused"))
            return work()

        monkeypatch.setattr(patience, "in_transaction", in_transaction)
        return attempts

    return answer


def test_it_is_tried_again_until_the_database_answers(away):
    attempts, done = away(2), []

    patience.insist(lambda: done.append("recorded"))

    assert (len(attempts), done) == (3, ["recorded"])


def test_patience_ends(away):
    attempts = away(99)

    with pytest.raises(OperationalError):
        patience.insist(lambda: None)

    assert len(attempts) == 4


def test_another_trouble_is_told_at_once(away):
    attempts = away(0)

    def lost():
        raise LookupError

    with pytest.raises(LookupError):
        patience.insist(lost)

    assert len(attempts) == 1
