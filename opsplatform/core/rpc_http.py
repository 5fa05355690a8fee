"""What JSON-RPC needs of HTTP: the bearer token, JSON answers, and plain refusals of everything else below `/api`."""

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import Rule
from werkzeug.wrappers import Response

from opsplatform.core.rpc_errors import InvalidRequest, failure, new_ref

LARGEST_BODY = 1024 * 1024
MOST_DISCARDED = 16 * 1024 * 1024
CHUNK = 64 * 1024


def bearer_token() -> str | None:
    """The token of the Authorization header, None when there is no such header of scheme Bearer."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def json_response(body: bytes, status: int = 200) -> Response:
    """Bytes that are JSON already."""
    return current_app.response_class(body, status, mimetype="application/json")


def read_body() -> bytes:
    """The whole body, or RequestEntityTooLarge."""
    body = request.get_data(cache=False)
    # A body of unknown length is cut off at the limit without a word.
    unknown = len(body) >= LARGEST_BODY and request.content_length is None
    if unknown and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return body


def discard_body() -> None:
    """Read what the client is still sending, up to a bound: it reads no answer before it has sent all."""
    length = request.content_length
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return
    left = MOST_DISCARDED if length is None else min(length, MOST_DISCARDED)
    stream = request.environ["wsgi.input"]
    while left > 0 and (chunk := stream.read(min(left, CHUNK))):
        left -= len(chunk)


class CookieSessions(SecureCookieSessionInterface):
    """Cookie sessions for browser routes; `closed` opens none, a call there is logged in by its token."""

    def __init__(self, closed: str) -> None:
        self._closed = closed

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of the cookie, or one that holds nothing."""
        return self.make_null_session(app) if request.path == self._closed else super().open_session(app, request)


def add_fences(app: Flask, path: str) -> None:
    """Answer other methods and unknown paths below `path` in JSON; the console's catch-all must not take them."""
    # A rule without methods takes what the rules before it left over.
    app.url_map.add(Rule(path, endpoint="rpc_wrong_method"))
    app.url_map.add(Rule(f"{path}/", endpoint="rpc_unknown_path"))
    app.url_map.add(Rule(f"{path}/<path:rest>", endpoint="rpc_unknown_path"))
    app.view_functions["rpc_wrong_method"] = _wrong_method
    app.view_functions["rpc_unknown_path"] = unknown_path


def unknown_path(**_parts: str) -> Response:
    """There is nothing here."""
    return json_response(failure(InvalidRequest("unknown_path"), new_ref()), 404)


def _wrong_method() -> Response:
    response = json_response(failure(InvalidRequest("method_not_allowed"), new_ref()), 405)
    response.headers["Allow"] = "POST, OPTIONS"
    return response
