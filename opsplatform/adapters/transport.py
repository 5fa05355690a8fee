"""One HTTP client for every outside system: time-outs, retry of safe calls, every failure an UpstreamError."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from json import dumps, loads
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from opsplatform.core.errors import UpstreamError
from opsplatform.core.metrics import UPSTREAM_SECONDS, timed

LARGEST_ANSWER = 8 * 1024 * 1024
CHUNK = 64 * 1024
FIRST_PAUSE = 0.2
LONGEST_DETAIL = 200
SHORTEST_SECRET = 6


class AnswerError(UpstreamError):
    """The other system answered with an HTTP error.

    Attributes:
        status: the HTTP status.
    """

    def __init__(
        self, system: str, message: str, *, status: int, upstream_code: str | None = None, certain: bool = True
    ) -> None:
        super().__init__(system, message, upstream_code=upstream_code, certain=certain)
        self.status = status


class Unreachable(UpstreamError):
    """No connection came about, or it broke before the answer was complete."""


class BadAnswer(UpstreamError):
    """The other system answered, with something that is no answer."""


@dataclass(frozen=True)
class _Call:
    """One request as the caller wants it."""

    method: str
    path: str
    params: Mapping[str, str]
    json: object
    headers: Mapping[str, str]
    safe: bool

    def __str__(self) -> str:
        """Name the call without its query, which may carry a token."""
        return f"{self.method} {self.path}"

    def body(self) -> bytes | None:
        """The JSON as UTF-8 without escapes, which old interfaces refuse."""
        return None if self.json is None else dumps(self.json, ensure_ascii=False).encode("utf-8", "replace")

    def secrets(self) -> Iterator[str]:
        """Every value that must not come back in a text, should the other side echo it."""
        fields = self.json.values() if isinstance(self.json, Mapping) else ()
        for value in (*self.params.values(), *self.headers.values(), *fields):
            if isinstance(value, str) and len(value) >= SHORTEST_SECRET:
                yield value


class Client:
    """Calls one outside system; may be shared by all threads, each of which keeps its own connection.

    Certain errors had no effect over there; an error is uncertain when an unsafe request may have arrived.
    """

    def __init__(
        self,
        base_url: str,
        system: str,
        *,
        timeout: tuple[float, float] = (3, 5),
        retries: int = 2,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.system = system
        self._timeout = timeout
        self._retries = retries
        self._pause = pause
        self._local = threading.local()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        safe: bool,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object that came back; `safe` calls change nothing and are retried."""
        with timed(UPSTREAM_SECONDS, self.system):
            return self._patiently(_Call(method, path, params or {}, json, headers or {}, safe))

    def _patiently(self, call: _Call) -> dict[str, Any]:
        """Send the request, and a safe one again while the fault may pass."""
        for attempt in range(self._retries if call.safe else 0):
            try:
                return self._once(call)
            except UpstreamError as error:
                if not _passing(error):
                    raise
            self._pause(FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, hides nothing
        return self._once(call)

    def _once(self, call: _Call) -> dict[str, Any]:
        """Send the request once."""
        try:
            response = self._session().request(
                call.method,
                self.base_url + call.path,
                params=dict(call.params),
                data=call.body(),
                headers={**call.headers, "Accept": "application/json", "Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = self._read(call, response)
        except requests.RequestException as error:
            # The cause is left out on purpose: its text holds the whole address, tokens included.
            raise self._broken(call, error) from None
        return self._understood(call, response, content)

    def _read(self, call: _Call, response: requests.Response) -> bytes:
        """The body, unless it is larger or slower than an answer may be."""
        deadline = time.monotonic() + sum(self._timeout)
        content = bytearray()
        for chunk in response.iter_content(CHUNK):
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise BadAnswer(
                    self.system, f"{call}: the answer is larger than {LARGEST_ANSWER} bytes", certain=call.safe
                )
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        return bytes(content)

    def _understood(self, call: _Call, response: requests.Response, content: bytes) -> dict[str, Any]:
        """The JSON object of a good answer; an error for any other."""
        status, kind = response.status_code, response.headers.get("Content-Type", "").partition(";")[0].lower()
        answer = None if kind == "text/html" else _json_object(content)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            code, detail = _what_it_says(answer or {})
            for secret in call.secrets():
                detail = detail.replace(secret, "***")
            certain = call.safe or status < HTTPStatus.INTERNAL_SERVER_ERROR
            text = f"{call}: HTTP {status} {code or ''} {detail}".rstrip()
            raise AnswerError(self.system, text, status=status, upstream_code=code or str(status), certain=certain)
        if answer is None:
            text = f"{call}: the answer is no JSON object but {kind or 'of no stated type'}"
            raise BadAnswer(self.system, text, certain=call.safe)
        return answer

    def _broken(self, call: _Call, error: requests.RequestException) -> UpstreamError:
        """What to raise when there is no whole answer."""
        if isinstance(error, requests.ConnectTimeout):
            return Unreachable(self.system, f"{call}: no connection within {self._timeout[0]:g} s")
        if isinstance(error, requests.Timeout):
            return UpstreamError(self.system, f"{call}: no answer within {self._timeout[1]:g} s", certain=call.safe)
        if _never_connected(error):
            return Unreachable(self.system, f"{call}: cannot connect; check the address and the network")
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return Unreachable(self.system, f"{call}: the connection broke before the answer", certain=call.safe)
        name = type(error).__name__
        return UpstreamError(self.system, f"{call}: the request or its answer is malformed ({name})", certain=call.safe)

    def _session(self) -> requests.Session:
        """This thread's connection; a forked child never uses its parent's."""
        if getattr(self._local, "owner", None) != os.getpid():
            self._local.session, self._local.owner = _new_session(), os.getpid()
        session: requests.Session = self._local.session
        return session


def _new_session() -> requests.Session:
    """A session that takes nothing from the environment and keeps no cookies."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    return session


def _passing(error: UpstreamError) -> bool:
    """Whether the same call may well succeed in a moment."""
    if isinstance(error, AnswerError):
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.TOO_MANY_REQUESTS
    return isinstance(error, Unreachable)


def _never_connected(error: requests.RequestException) -> bool:
    """Whether the request cannot have reached the other side."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


def _json_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object in `content`, or None."""
    try:
        value = loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _what_it_says(answer: Mapping[str, Any]) -> tuple[str | None, str]:
    """The code and the text of an error body, whatever they are called there."""
    code = next((str(answer[key]) for key in ("code", "errcode", "error") if key in answer), None)
    text = next((answer[key] for key in ("message", "errmsg", "error_description") if key in answer), "")
    return code, " ".join(str(text).split())[:LONGEST_DETAIL]
