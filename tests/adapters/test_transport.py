"""The HTTP client: what is retried, what is certain, and what never stands in an error."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from flask import Flask, Response, jsonify, redirect, request

from opsplatform.adapters import transport
from opsplatform.adapters.transport import AnswerError, BadAnswer, Client, Unreachable
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator.server import running

SECRET = "the-secret-token"


@pytest.fixture
def far():
    """A system that misbehaves on demand; `far.calls` counts."""
    app = Flask("far")
    app.calls = []
    app.answers = []

    @app.route("/<path:path>", methods=["GET", "POST"])
    def anything(path):
        app.calls.append((path, request.get_data(), dict(request.headers)))
        answer = app.answers.pop(0) if app.answers else jsonify(ok=True)
        return answer() if callable(answer) and not isinstance(answer, Response) else answer

    app.config["PROPAGATE_EXCEPTIONS"] = False
    with app.app_context(), running(app) as app.url:
        yield app


@pytest.fixture
def client(far):
    return Client(far.url, "far", timeout=(1, 5), pause=lambda _seconds: None)


def answer(status, body="{}"):
    return Response(body, status, content_type="application/json;charset=utf-8")


def hang_up():
    request.environ["werkzeug.socket"].shutdown(2)
    return ""


def failure(call):
    with pytest.raises(UpstreamError) as caught:
        call()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_an_answer_is_the_json_object(far, client):
    assert client.call("GET", "/x", params={"a": "1"}, safe=True) == {"ok": True}


def test_a_body_is_utf8_without_escapes(far, client):
    client.call("POST", "/x", json={"名": "值\ud800"}, safe=False)

    assert far.calls[0][1] == '{"名": "值?"}'.encode()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_safe_call_is_retried_until_it_works(far, client, status):
    far.answers = [answer(status), answer(status)]

    assert client.call("GET", "/x", safe=True) == {"ok": True}
    assert len(far.calls) == 3


def test_a_safe_call_is_given_up_after_its_retries(far, client):
    far.answers = [answer(500, '{"code": "systemError"}') for _ in range(3)]

    error = failure(lambda: client.call("GET", "/x", safe=True))

    assert (len(far.calls), error.upstream_code, error.certain) == (3, "systemError", True)


def test_a_safe_call_survives_a_broken_connection(far, client):
    far.answers = [hang_up]

    assert client.call("GET", "/x", safe=True) == {"ok": True}


@pytest.mark.parametrize(("spoil", "kind"), [(lambda: answer(500), AnswerError), (hang_up, Unreachable)])
def test_an_unsafe_call_is_sent_once_and_its_failure_is_uncertain(far, client, spoil, kind):
    far.answers = [spoil]

    error = failure(lambda: client.call("POST", "/x", json={}, safe=False))

    assert (len(far.calls), type(error), error.certain) == (1, kind, False)


def test_a_refusal_is_certain_and_carries_the_code(far, client):
    far.answers = [answer(400, json.dumps({"code": "needAuth", "message": f"no\n {SECRET}"}))]

    error = failure(lambda: client.call("POST", "/x", headers={"x-token": SECRET}, json={}, safe=False))

    assert (error.upstream_code, error.certain, error.message) == (
        "needAuth",
        True,
        "POST /x: HTTP 400 needAuth no ***",
    )


def test_a_refusal_without_a_code_carries_the_status(far, client):
    far.answers = [("", 404)]

    error = failure(lambda: client.call("GET", "/x", safe=True))

    assert (error.upstream_code, error.message) == ("404", "GET /x: HTTP 404")


def test_a_redirect_is_not_followed(far, client):
    far.answers = [redirect(f"{far.url}/elsewhere?{SECRET}")]

    error = failure(lambda: client.call("GET", "/x", safe=True))

    assert (error.status, len(far.calls)) == (302, 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html>banned</html>", "text/html"),
        ('{"ok": true}', "text/html"),
        ("not json", "application/json"),
        ("[1]", "application/json"),
        ("[" * 100_000, "application/json"),
        ("", "application/json"),
    ],
)
@pytest.mark.parametrize("safe", [True, False])
def test_what_is_no_json_object_is_an_error(far, client, body, kind, safe):
    far.answers = [Response(body, content_type=kind)]

    error = failure(lambda: client.call("POST", "/x", json={}, safe=safe))

    assert (type(error), error.certain, kind in error.message) == (BadAnswer, safe, True)


def test_an_answer_may_not_be_huge(far, client, monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 100_000)
    far.answers = [jsonify(text="x" * 100_001)]

    assert "larger" in failure(lambda: client.call("GET", "/x", safe=True)).message


def test_an_answer_that_breaks_off_is_uncertain(far, client):
    far.answers = [Response(iter(['{"ok"']), headers={"Content-Length": "1000"}, content_type="application/json")]

    error = failure(lambda: client.call("POST", "/x", json={}, safe=False))

    assert (type(error), error.certain) == (Unreachable, False)


def test_an_answer_that_does_not_come_in_time_is_uncertain_for_an_unsafe_call(far):
    release = threading.Event()
    far.answers = [lambda: release.wait(5) and "", lambda: release.wait(5) and ""]
    impatient = Client(far.url, "far", timeout=(1, 0.1))

    safe = failure(lambda: impatient.call("POST", "/x", safe=True))
    unsafe = failure(lambda: impatient.call("POST", "/x", safe=False))
    release.set()

    assert (safe.certain, unsafe.certain) == (True, False)
    assert "no answer within 0.1 s" in safe.message


def test_an_answer_that_drips_is_given_up(far):
    def drip():
        yield "{"
        while not release.wait(0.02):
            yield " " * transport.CHUNK

    release = threading.Event()
    far.answers = [Response(drip(), content_type="application/json")]
    started = time.monotonic()

    error = failure(lambda: Client(far.url, "far", timeout=(0.1, 0.2)).call("GET", "/x", safe=True))
    release.set()

    assert "no answer" in error.message
    assert time.monotonic() - started < 4


def test_nobody_there_is_certain_and_says_what_to_check(client, far):
    with running(Flask("gone")) as url:
        pass
    nobody = Client(url, "far", pause=lambda _seconds: None)

    error = failure(lambda: nobody.call("POST", "/x", params={"access_token": SECRET}, json={}, safe=False))

    assert (type(error), error.certain) == (Unreachable, True)
    assert error.message == "POST /x: cannot connect; check the address and the network"


def test_a_connection_that_does_not_come_about_in_time_is_certain(client, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise transport.requests.ConnectTimeout(SECRET)

    monkeypatch.setattr(transport.requests.Session, "request", refuse)

    error = failure(lambda: client.call("POST", "/x", safe=False))

    assert (error.certain, error.message) == (True, "POST /x: no connection within 1 s")


def test_a_request_that_cannot_be_made_is_an_error_of_ours_not_a_crash(client):
    error = failure(lambda: client.call("POST", "/x", headers={"x": f"a\n{SECRET}"}, safe=False))

    assert "malformed" in error.message


class Faithful(BaseHTTPRequestHandler):
    """Keeps connections open, notes who calls, and hands out a cookie."""

    protocol_version = "HTTP/1.1"
    calls: ClassVar = []

    def do_GET(self):
        self.calls.append((self.client_address[1], self.headers.get("Cookie")))
        self.send_response(200)
        for name, value in {"Set-Cookie": "a=1", "Content-Type": "application/json", "Content-Length": "2"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args):
        pass


def test_a_thread_keeps_its_own_connection_and_no_cookies():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faithful)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    client = Client(f"http://127.0.0.1:{server.server_port}", "far")

    client.call("GET", "/x", safe=True)
    client.call("GET", "/x", safe=True)
    other = threading.Thread(target=client.call, args=("GET", "/x"), kwargs={"safe": True})
    other.start()
    other.join()
    server.shutdown()
    serving.join()
    client._session().close()
    server.server_close()

    ports, cookies = zip(*Faithful.calls, strict=True)
    assert ports[0] == ports[1] != ports[2]
    assert set(cookies) == {None}


def test_a_forked_child_does_not_use_its_parents_connection(client, monkeypatch):
    mine = client._session()
    monkeypatch.setattr(transport.os, "getpid", lambda: -1)

    assert client._session() is not mine
