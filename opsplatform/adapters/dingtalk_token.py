"""The app's access token: fetched once for all threads of a process, renewed before it ends.

It is kept in memory only. DingTalk hands every process the same token while it is valid and counts these calls
against no quota, so sharing it through a file would only add a secret to look after.
"""

import threading
import time
from collections.abc import Callable

from opsplatform.core.errors import UpstreamError

RENEW_EARLY = 300.0
REST_AFTER_FAILURE = 1.0


class AccessToken:
    """Hands out one access token; `fetch` returns a token and the seconds it lives."""

    def __init__(self, fetch: Callable[[], tuple[str, float]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._value: str | None = None
        self._renew_at = self._ends_at = 0.0
        self._failure: UpstreamError | None = None
        self._rests_until = 0.0

    def get(self) -> str:
        """The token; a caller who finds none, or one about to end, fetches it while the others wait."""
        with self._lock:
            if self._value is None or self._clock() >= self._renew_at:
                self._renew()
            return self._value or ""

    def replace(self, refused: str) -> str:
        """A token other than the one DingTalk just refused."""
        with self._lock:
            if self._value == refused:
                self._value = None
                self._renew()
            elif self._value is None:
                self._renew()
            return self._value or ""

    def _renew(self) -> None:
        """Fetch a token; an old one that is still good serves on when that fails."""
        if self._failure and self._clock() < self._rests_until:
            self._serve_on(self._failure)
            return
        try:
            value, lifetime = self._fetch()
        except UpstreamError as error:
            self._failure, self._rests_until = error, self._clock() + REST_AFTER_FAILURE
            self._serve_on(error)
            return
        now = self._clock()
        self._value, self._failure = value, None
        self._ends_at, self._renew_at = now + lifetime, now + max(lifetime - RENEW_EARLY, lifetime / 2)

    def _serve_on(self, error: UpstreamError) -> None:
        """Refuse with what went wrong, unless the old token still lives; waiting threads do not all try again."""
        if self._value is None or self._clock() >= self._ends_at:
            raise UpstreamError(error.system, error.message, upstream_code=error.upstream_code)
