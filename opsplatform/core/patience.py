"""Record what nobody else knows, also where the database is away for a while."""

import logging
from collections.abc import Callable
from time import monotonic, sleep

from sqlalchemy.exc import OperationalError

from opsplatform.core.db import in_transaction

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.5

log = logging.getLogger(__name__)


def insist(work: Callable[[], None]) -> None:
    """Do `work` in a transaction, and again until the database has answered.

    `work` checks its lease first: so it is not done twice where only the answer was lost, nor when somebody else has
    taken over since the database came back.
    """
    until = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return in_transaction(work)
        except OperationalError:
            if monotonic() > until:
                raise
            log.warning("the database is away; what is to be recorded waits for it")
        sleep(PAUSE_SECONDS)
