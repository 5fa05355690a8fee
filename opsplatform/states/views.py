"""`/terraform/state/<workspace>`: Terraform's http backend, for the run that holds the workspace and nobody else.

Terraform knows these answers: 200, 204 (no state yet), 401, 403, 409, 423 (locked, with the holder's info) and
anything from 500 on, after which it tries again.
"""

import base64
import hashlib
import json
from typing import Any

from flask import Blueprint, Flask, Response, request

from opsplatform.core.db import reading, transaction
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.states import locks, service
from opsplatform.states.service import Credential, NotHeld

LARGEST_STATE = 64 << 20
LARGEST_LOCK = 64 << 10

VIEWS = Blueprint("states", __name__, url_prefix="/terraform/state")


def register(app: Flask) -> None:
    """Add the route to the application."""
    app.register_blueprint(VIEWS)


@VIEWS.get("/<workspace>")
def read_state(workspace: str) -> Response:
    """The current state; 204 before the first."""
    credential = _credential(workspace)
    with reading():
        stored = service.latest_for_holder(workspace, run_id=credential.run_id, fence=credential.fence)
    if stored is None:
        return Response(status=204)
    answer = Response(stored.content, content_type="application/json")
    answer.headers["Content-MD5"] = _md5(stored.content)
    return answer


@VIEWS.post("/<workspace>")
def write_state(workspace: str) -> Response:
    """Keep a new version, under the lock that Terraform names."""
    credential = _credential(workspace)
    content = _body(LARGEST_STATE)
    with transaction():
        held = service.require_holder(workspace, credential.run_id, credential.fence)
        locks.refuse_other_lock(held, request.args.get("ID"))
        service.store(workspace, content, run_id=credential.run_id, fence=credential.fence)
    return Response(status=200)


@VIEWS.delete("/<workspace>")
def delete_state(workspace: str) -> Response:
    """Begin again without a state."""
    credential = _credential(workspace)
    with transaction():
        held = service.require_holder(workspace, credential.run_id, credential.fence)
        locks.refuse_other_lock(held, request.args.get("ID"))
        service.delete(workspace, run_id=credential.run_id, fence=credential.fence)
    return Response(status=200)


@VIEWS.route("/<workspace>", methods=["LOCK"])
def take_lock(workspace: str) -> Response:
    """Lock it for one command."""
    credential = _credential(workspace)
    info = _lock_info()
    with transaction():
        locks.lock(workspace, info, run_id=credential.run_id, fence=credential.fence)
    return Response(status=200)


@VIEWS.route("/<workspace>", methods=["UNLOCK"])
def give_lock_back(workspace: str) -> Response:
    """Unlock it; without the lock's info (`force-unlock`) it is refused."""
    credential = _credential(workspace)
    info = _lock_info()
    with transaction():
        try:
            locks.unlock(workspace, info, run_id=credential.run_id, fence=credential.fence)
        except locks.Locked as error:
            return _json(409, error.holder)
    return Response(status=200)


class _Refused(Exception):
    """A request that is answered with `status` and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@VIEWS.errorhandler(_Refused)
def _refused(error: _Refused) -> Response:
    answer = _json(error.status, {"error": error.message})
    if error.status == 401:  # noqa: PLR2004 - the status that asks for a login
        answer.headers["WWW-Authenticate"] = 'Basic realm="terraform state"'
    return answer


@VIEWS.errorhandler(NotFound)
@VIEWS.errorhandler(NotHeld)
def _forbidden(error: NotHeld | NotFound) -> Response:
    """Not 404 either: Terraform would take it for an empty state and build everything again."""
    return _json(403, {"error": error.message})


@VIEWS.errorhandler(Conflict)
def _conflict(error: Conflict) -> Response:
    if isinstance(error, locks.Locked):
        return _json(423, error.holder)
    return _json(409, {"error": error.message})


def _credential(workspace: str) -> Credential:
    given = request.authorization
    basic = given is not None and given.type == "basic"
    credential = service.read_credential(workspace, given.username, given.password) if given and basic else None
    if credential is None:
        raise _Refused(401, "This route takes the credential of the run that holds the workspace.")
    return credential


def _body(limit: int) -> bytes:
    """The body, checked against the sum that came with it; this route has its own limit."""
    request.max_content_length = limit
    content = request.get_data(cache=False)
    expected = request.headers.get("Content-MD5")
    if expected is not None and expected != _md5(content):
        raise _Refused(400, "The body does not fit its Content-MD5; send it again.")
    return content


def _lock_info() -> dict[str, Any]:
    try:
        info = json.loads(_body(LARGEST_LOCK))
    except (ValueError, RecursionError):
        info = None
    if not isinstance(info, dict):
        raise _Refused(400, "The body must be the lock's info; to unlock by force use workspace.unlock.")
    return info


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode("ascii")


def _json(status: int, value: dict[str, Any]) -> Response:
    return Response(json.dumps(value), status=status, content_type="application/json")
