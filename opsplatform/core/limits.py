"""How often somebody may call: a moving window per key, in memory, or in Redis when that is the broker."""

import logging
import math
import time

from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from opsplatform.core.errors import TooManyRequests

REDIS_PATIENCE = 0.3

log = logging.getLogger(__name__)


class Limiter:
    """Counts calls; in memory each process counts for itself."""

    def __init__(self, broker_url: str) -> None:
        self._alone = MovingWindowRateLimiter(MemoryStorage())
        self._shared = self._alone
        if broker_url.startswith(("redis://", "rediss://")):
            options: dict[str, float] = {"socket_connect_timeout": REDIS_PATIENCE, "socket_timeout": REDIS_PATIENCE}
            storage = storage_from_string(broker_url, wrap_exceptions=True, **options)
            self._shared = MovingWindowRateLimiter(storage)

    def hit(self, limit: RateLimitItem, *key: str) -> None:
        """Count one call, or refuse it and say when to come back."""
        try:
            self._hit(self._shared, limit, key)
        except StorageError:
            log.warning("the shared counters of limits cannot be reached; this process counts for itself")
            self._hit(self._alone, limit, key)

    @staticmethod
    def _hit(limiter: MovingWindowRateLimiter, limit: RateLimitItem, key: tuple[str, ...]) -> None:
        if limiter.hit(limit, *key):
            return
        seconds = math.ceil(limiter.get_window_stats(limit, *key).reset_time - time.time())
        raise TooManyRequests("Too many calls: wait for retry_after seconds and try again.", max(1, seconds))
