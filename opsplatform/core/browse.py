"""`/api/browse`: a page to try every method, in development and for this machine only.

It holds no data and no rights of its own: it reads the description of the API and calls it with the token typed in.
"""

import ipaddress
import mimetypes
from pathlib import Path

from flask import Flask, current_app, request
from werkzeug.wrappers import Response

from opsplatform.core.rpc_http import unknown_path

FOLDER = Path(__file__).with_name("browse_page")
FILES = {"": "index.html", "/browse.js": "browse.js", "/browse.css": "browse.css"}
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


def init_browse(app: Flask, path: str, *, development: bool) -> None:
    """Serve the page at `path`; everywhere but in development there is nothing to find."""
    if not development:
        return
    for ending, name in FILES.items():
        app.add_url_rule(path + ending, f"browse {name}", _show, methods=["GET"], defaults={"name": name})


def _show(name: str) -> Response:
    if not _from_this_machine():
        return unknown_path()
    kind, _ = mimetypes.guess_type(name)
    response = current_app.response_class((FOLDER / name).read_bytes(), mimetype=kind)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def _from_this_machine() -> bool:
    """Whether the caller is on a loopback address and nobody stands in between."""
    if any(name in request.environ for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
