"""Work of the accounts that runs in a worker."""

import datetime as dt

from opsplatform.accounts import sessions
from opsplatform.core.db import now, transaction
from opsplatform.core.rpc_answers import forget_answers

ANSWERS_LIFE = dt.timedelta(days=7)


def forget_expired() -> None:
    """Drop sessions nobody can use any more, and answers no client will ask for again."""
    with transaction():
        sessions.forget_expired()
        forget_answers(now() - ANSWERS_LIFE)
