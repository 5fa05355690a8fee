"""The local cloud over HTTP, in a thread of a test or as a process of its own.

    python -m tests.cloud.server --port 9000 --ledger ledger.jsonl

`/servers` is what a provider calls, with a bearer token; `/control` is what a test orders and looks at.
"""

import argparse
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cloud.orders import Order
from tests.cloud.world import Call, Lost, Refused, World

OPERATIONS = {"POST": "create", "GET": "read", "PATCH": "update", "DELETE": "delete"}


class CloudServer(ThreadingHTTPServer):
    """One cloud at one port."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, port: int, ledger: Path) -> None:
        self.world = World(ledger)
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about callers that went away; that is what many tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Reads a request, has the world answer it, writes the answer."""

    server: CloudServer

    def answer(self) -> None:
        """Answer one request of any kind."""
        path = urlsplit(self.path).path.strip("/").split("/")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        try:
            if path[0] == "servers":
                self._write(200, self.server.world.serve(self._call(path[1:], body)))
            else:
                self._write(200, control(self.server.world, self.command, "/".join(path[1:]), body))
        except Refused as error:
            self._write(error.status, {"code": error.code, "message": str(error)})
        except Lost:
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the names the base class looks for

    def _call(self, path: list[str], body: dict[str, Any]) -> Call:
        op = "list" if self.command == "GET" and not path else OPERATIONS[self.command]
        return Call(
            op=op,
            object_id=path[0] if path else "",
            token=(self.headers.get("Authorization") or "").removeprefix("Bearer "),
            request_id=self.headers.get("X-Request-Id") or "",
            label=self.headers.get("X-Run-Label") or "",
            body=body,
        )

    def _write(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""


def control(world: World, method: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do what a test asks of the cloud, or show it what is there."""
    if method == "GET":
        return _shown(world, what)
    if what == "orders" and method == "DELETE":
        world.orders.clear()
    elif what == "orders":
        world.orders.add(Order(**body))
    elif what == "release":
        world.release()
    elif what == "settings":
        world.quota = body.get("quota", world.quota)
        world.tokens = set(body.get("tokens", world.tokens))
    elif what.startswith("servers/") and method == "DELETE":
        world.delete_behind(what.removeprefix("servers/"))
    elif what.startswith("servers/"):
        world.change_behind(what.removeprefix("servers/"), body)
    else:
        raise Refused(404, "NotFound", f"There is no /control/{what}.")
    return {}


def _shown(world: World, what: str) -> dict[str, Any]:
    if what == "ledger":
        return {"items": [asdict(entry) for entry in world.ledger.entries()]}
    if what == "objects":
        return {"items": world.objects()}
    return {"calls": dict(world.calls), "hanging": world.hanging}


@contextmanager
def running_cloud(ledger: Path, *, port: int = 0) -> Iterator[CloudServer]:
    """A cloud that runs in a thread of this process while the block works."""
    server = CloudServer(port, ledger)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="cloud", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.world.close()
        server.shutdown()
        thread.join()
        server.server_close()
        server.world.ledger.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, required=True)
    chosen = parser.parse_args()
    server = CloudServer(chosen.port, chosen.ledger)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
