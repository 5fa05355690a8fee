"""`POST /api`: JSON-RPC 2.0 over flask-jsonrpc, the only module that imports it.

Of the package stay its registry, its URL rule and its published signatures; dispatch, validation, errors and
serialisation are ours. One call in order: look up, log in, permission, params, limit, transaction, function, result.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, cast

from flask import Flask, current_app, request
from flask_jsonrpc import JSONRPC
from flask_jsonrpc.site import JSONRPCSite
from flask_jsonrpc.views import JSONRPCView
from limits import RateLimitItem
from prometheus_client import Histogram
from pydantic_core import from_json, to_json
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from opsplatform.core import browse, openrpc
from opsplatform.core.db import db, reading
from opsplatform.core.errors import NoPermission, NotLoggedIn, OpsError
from opsplatform.core.limits import Limiter
from opsplatform.core.logs import about
from opsplatform.core.metrics import RPC_SECONDS
from opsplatform.core.rpc_answers import Request, take_request_id
from opsplatform.core.rpc_caller import NOBODY, Principal, caller, identify, known_caller, one_call
from opsplatform.core.rpc_envelope import is_request
from opsplatform.core.rpc_errors import (
    InternalError,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    confess,
    error_member,
    failure,
    hide_values,
    new_ref,
)
from opsplatform.core.rpc_http import (
    LARGEST_BODY,
    CookieSessions,
    add_fences,
    bearer_token,
    discard_body,
    json_response,
    read_body,
)
from opsplatform.core.rpc_method import Entry, Method
from opsplatform.core.rpc_perform import perform, perform_once

__all__ = ["BATCH_MAX", "Method", "Principal", "Rpc", "caller", "init_rpc"]

PATH = "/api"
BATCH_MAX = 50
LONGEST_TOKEN = 1024
DISCOVER = "rpc.discover"

Authenticate = Callable[[str], Principal | None]
Params = list[Any] | dict[str, Any]

log = logging.getLogger(__name__)


class RpcSite(JSONRPCSite):
    """Answers bodies: the protocol, and around every call login, permission, limit and transaction."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.view_funcs.clear()  # the package would publish its own description without a login
        self.entries: dict[str, Entry] = {}
        self.authenticate: Authenticate = lambda _token: None
        self.limiter = Limiter("")
        self._clocks: dict[tuple[str, str], Histogram] = {}

    def answer(self, body: bytes) -> bytes | None:
        """The answer to a body; None when there is nothing to say."""
        try:
            parsed = from_json(body, allow_inf_nan=False)
        except ValueError:
            return _refused(ParseError())
        if not isinstance(parsed, list):
            return self.answer_one(parsed)
        if not parsed:
            return _refused(InvalidRequest("empty_batch"))
        if len(parsed) > BATCH_MAX:
            return _refused(InvalidRequest("batch_too_large", batch_max=BATCH_MAX))
        answers = [answer for item in parsed if (answer := self.answer_one(item)) is not None]
        return b"[" + b",".join(answers) + b"]" if answers else None

    def answer_one(self, item: object) -> bytes | None:
        """The answer to one request object; None for a notification, whatever became of it."""
        if not is_request(item):
            return _refused(InvalidRequest())
        name = item["method"]
        begun, code = time.perf_counter(), "0"
        with one_call():
            try:
                member = self.call(name, item.get("params", {}))
            except OpsError as error:
                code = str(error.code)
                member = self._explain(error, name)
            except Exception as error:
                code = str(InternalError.code)
                ref = new_ref()
                hide_values(error)
                log.exception("a method failed", extra=self._fields(name, ref))
                member = confess(error, ref)
            finally:
                db.session.remove()  # what one call left open must not meet the next
                self._clock(name, code).observe(time.perf_counter() - begun)
        if "id" not in item:
            return None
        return b'{"jsonrpc":"2.0",' + member + b',"id":' + to_json(item["id"]) + b"}"

    def _clock(self, name: str, code: str) -> Histogram:
        """What times this method with this outcome; finding it anew at every call would cost as much as a call."""
        clock = self._clocks.get((name, code))
        if clock is None:
            known = name if name in self.entries else "_unknown"
            clock = RPC_SECONDS.labels(known, code)
            if known == name:
                self._clocks[name, code] = clock
        return clock

    def call(self, name: str, params: Params) -> bytes:
        """Run one method: the member `"result":…`, or an error is raised."""
        entry = self.entries.get(name)
        if entry is None:
            raise MethodNotFound
        if not entry.method.public:
            self._admit(name, params)
        with about(method=name):
            request_id = take_request_id(params) if entry.method.changes else None
            named = entry.name_params(params)
            values = entry.bind(named)
            if entry.limit is not None:
                self._count(entry.method, entry.limit, values)
            if request_id is None:
                return perform(entry, values)
            principal = known_caller()
            user_id = principal.user_id if principal else NOBODY
            return perform_once(entry, values, Request(user_id, name, request_id, named))

    def log_in(self, token: object) -> Principal:
        """Whose token this is, or NotLoggedIn."""
        if not isinstance(token, str) or not token or len(token) > LONGEST_TOKEN:
            raise NotLoggedIn
        with reading():
            principal = self.authenticate(token)
        if principal is None:
            raise NotLoggedIn
        return principal

    def visible(self, principal: Principal | None) -> tuple[str, ...]:
        """The methods somebody may call, in the order of the table."""
        return tuple(
            name
            for name, entry in self.entries.items()
            if entry.method.public or (principal is not None and principal.may(name))
        )

    def _admit(self, name: str, params: Params) -> None:
        """Log the caller in and check the permission; default deny."""
        named = params.pop("token", None) if isinstance(params, dict) else None
        header = bearer_token()
        principal = self.log_in(named if header is None else header)
        identify(principal)
        if not principal.may(name):
            raise NoPermission(f"You have no permission for {name}; ask an administrator for it.", permission=name)

    def _count(self, method: Method, limit: RateLimitItem, values: dict[str, Any]) -> None:
        """Count this call for its caller, and for the value the method names."""
        principal = known_caller()
        who = f"user {principal.user_id}" if principal else f"address {request.remote_addr}"
        self.limiter.hit(limit, method.name, who)
        if method.limit_by is not None:
            self.limiter.hit(limit, method.name, f"{method.limit_by} {values.get(method.limit_by)}")

    def _explain(self, error: OpsError, name: str) -> bytes:
        """An expected error: said to the caller, noted without any input."""
        ref = new_ref()
        log.info("call refused", extra={**self._fields(name, ref), "code": error.code, "reason": error.reason})
        return error_member(error, ref)

    def _fields(self, name: str, ref: str) -> dict[str, object]:
        known = known_caller()
        method = name if name in self.entries else "_unknown"
        return {"ref": ref, "method": method, "user": known.username if known else None}


class RpcView(JSONRPCView):
    """The edge to HTTP: 200 with an answer, or 204."""

    init_every_request = False
    methods: ClassVar[set[str]] = {"POST", "OPTIONS"}

    def dispatch_request(self, **_parts: object) -> Response:
        """Straight to the answer: the usual way asks on every request whether the view is asynchronous."""
        return self.options() if request.method == "OPTIONS" else self.post()

    def post(self) -> Response:
        """Answer a body."""
        site = cast("RpcSite", self.jsonrpc_site)
        if request.environ.get("CONTENT_TYPE") != "application/json" and not site.is_json:
            return json_response(_refused(ParseError("content_type_is_not_json")))
        try:
            body = read_body()
        except RequestEntityTooLarge:
            discard_body()
            return json_response(_refused(InvalidRequest("body_too_large", limit=LARGEST_BODY)), 413)
        answer = site.answer(body)
        return current_app.response_class(status=204) if answer is None else json_response(answer)

    def options(self) -> Response:
        """Say what may be asked."""
        return current_app.response_class(status=204, headers={"Allow": "POST, OPTIONS"})


class Rpc(JSONRPC):
    """The registry of one application and its URL rule."""

    def __init__(self, authenticate: Authenticate, limiter: Limiter) -> None:
        super().__init__(
            path=PATH,
            version=openrpc.version(),
            jsonrpc_site=RpcSite,
            jsonrpc_site_api=RpcView,
            enable_web_browsable_api=False,
        )
        self.site = cast("RpcSite", self.get_jsonrpc_site())
        self.site.authenticate = authenticate
        self.site.limiter = limiter

    def add(self, method: Method) -> None:
        """Take a method in, or stop the start when it could not work."""
        if method.name in self.site.entries:
            raise ValueError(f"{method.name}: the name is used twice")
        if method.name.startswith("rpc.") and method.name != DISCOVER:
            raise ValueError(f"{method.name}: names that begin with rpc. belong to the protocol")
        entry = Entry(method)
        self.register_view_function(method.function, method.name, validate=cast("Any", False))
        self.site.entries[method.name] = entry


def init_rpc(app: Flask, methods: Sequence[Method], *, authenticate: Authenticate) -> None:
    """Serve `methods` on `/api`, with their description and, in development, a page to try them."""
    settings = app.extensions["settings"]
    rpc = Rpc(authenticate, Limiter(settings.broker_url.get_secret_value()))
    for method in methods:
        rpc.add(method)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.session_interface = CookieSessions(PATH)
    rpc.init_app(app)
    add_fences(app, PATH)
    _describe(app, rpc)
    browse.init_browse(app, f"{PATH}/browse", development=settings.ops_env == "development")


def _describe(app: Flask, rpc: Rpc) -> None:
    """`rpc.discover` and `/openrpc.json`: what the caller may call."""
    site = rpc.site

    @lru_cache(maxsize=64)
    def described(names: tuple[str, ...]) -> dict[str, Any]:
        return openrpc.document([site.entries[name] for name in names])

    def discover(token: str | None = None) -> dict[str, Any]:
        """Describe the methods the caller may call, as an OpenRPC document."""
        sent = bearer_token() if token is None else token
        return described(site.visible(None if sent is None else site.log_in(sent)))

    def openrpc_json() -> Response:
        try:
            return json_response(to_json(discover()))
        except NotLoggedIn as error:
            return json_response(b"{" + error_member(error, new_ref()) + b"}", 401)

    rpc.add(Method(DISCOVER, discover, public=True))
    app.add_url_rule("/openrpc.json", "openrpc", openrpc_json, methods=["GET"])


def _refused(error: OpsError) -> bytes:
    ref = new_ref()
    log.info("request refused", extra={"ref": ref, "code": error.code, "reason": error.data["reason"]})
    return failure(error, ref)
