"""Batches, notifications, HTTP, login, permission, limits and what an error shows."""

import io
import json
import logging

import pytest
from sqlalchemy import text as sql

from opsplatform.core.db import db
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.core.limits import Limiter
from opsplatform.core.rpc import BATCH_MAX, Method, Principal, caller

GOOD_TOKEN = "good-token"
SECRET = "hunter2-hunter2"


def echo(word: str) -> str:
    return word


def who() -> str:
    return caller().username


def crash(password: str) -> str:
    raise TypeError(f"unexpected {len(password)}")


def break_database(password: str) -> str:
    db.session.execute(sql("insert into nowhere values (:password)"), {"password": password})
    return "never"


def find() -> str:
    raise NotFound("There is no such thing.", field="thing")


def conflict() -> str:
    raise Conflict("It is applied, nothing is allowed.", state="applied", allowed=[])


def odd_data() -> str:
    raise NotFound("Odd.", thing=object(), number=float("inf"))


METHODS = [
    Method("echo", echo, public=True),
    Method("crash", crash, public=True),
    Method("break_database", break_database, public=True),
    Method("find", find, public=True),
    Method("conflict", conflict, public=True),
    Method("odd_data", odd_data, public=True),
    Method("user.who", who),
    Method("user.greet", echo),
]


@pytest.fixture
def api(rpc_api):
    return rpc_api(*METHODS)


def request_of(method, params=None, **members):
    return {"jsonrpc": "2.0", "method": method, "params": params or [], **members}


def test_a_batch_of_fifty_is_answered_in_order_and_one_more_is_refused(api):
    calls = [request_of("echo", [str(n)], id=n) for n in range(BATCH_MAX + 1)]

    assert [one["result"] for one in api.post(calls[:-1]).get_json()] == [str(n) for n in range(BATCH_MAX)]
    refused = api.post(calls).get_json()
    assert refused["error"]["code"] == -32600
    assert refused["error"]["data"]["reason"] == "batch_too_large"
    assert refused["id"] is None


@pytest.mark.parametrize(
    "call",
    [
        request_of("echo", ["a"]),
        request_of("unknown"),
        request_of("echo"),
        request_of("user.who"),
        request_of("crash", [SECRET]),
    ],
)
def test_a_notification_is_never_answered(api, call):
    for body in (call, [call, call]):
        response = api.post(body)

        assert (response.status_code, response.data) == (204, b"")


@pytest.mark.parametrize("raw_id", [b"1e400", b"-1e400", b"[]", b"{}", b"false"])
def test_an_id_that_cannot_be_echoed_is_refused(api, raw_id):
    response = api.post(b'{"jsonrpc":"2.0","method":"echo","params":["a"],"id":%b}' % raw_id)

    assert response.get_json()["error"]["code"] == -32600
    assert response.get_json()["id"] is None


@pytest.mark.parametrize("one_id", ["", "中", 0, -1, 1.5, 10**400, None])
def test_an_id_is_echoed_as_it_was(api, one_id):
    answer = api.post(request_of("echo", ["a"], id=one_id)).get_json()

    assert answer == {"jsonrpc": "2.0", "result": "a", "id": one_id}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf{}",
        '{"jsonrpc":"2.0","method":"echo","id":1}'.encode("utf-16"),
        b'{"jsonrpc":"2.0","method":"echo","params":["\\ud800"],"id":1}',
        b'{"jsonrpc":"2.0","method":"echo","params":[NaN],"id":1}',
        b"[" * 100_000 + b"]" * 100_000,
        b"{} {}",
        b"\xff",
    ],
)
def test_what_is_no_utf8_json_is_a_parse_error(api, body):
    response = api.post(body)

    assert response.status_code == 200
    assert response.get_json()["error"]["code"] == -32700
    assert response.get_json()["error"]["message"] == "Parse error"
    assert response.get_json()["id"] is None


def test_duplicate_keys_take_the_last_and_unknown_members_are_passed_over(api):
    raw = b'{"jsonrpc":"2.0","method":"no","method":"echo","params":["a"],"id":1,"extra":1}'

    assert api.post(raw).get_json()["result"] == "a"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_site_cannot_post_with_a_plain_form(api, content_type):
    answer = api.post(request_of("echo", ["a"], id=1), content_type=content_type).get_json()

    assert answer["error"]["code"] == -32700


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json-rpc", "application/x+json"]
)
def test_json_goes_by_several_names(api, content_type):
    assert api.post(request_of("echo", ["a"], id=1), content_type=content_type).get_json()["result"] == "a"


def test_a_body_over_the_limit_is_413_in_json(api):
    response = api.post(b'"' + b"x" * (1024 * 1024) + b'"')

    assert response.status_code == 413
    assert response.get_json()["error"]["code"] == -32600
    assert response.get_json()["error"]["data"]["reason"] == "body_too_large"


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413), (3 * 1024 * 1024, 413)])
def test_a_body_of_unknown_length_has_the_same_limit(api, size, status):
    call = json.dumps(request_of("echo", ["a"], id=1)).encode()
    body = call + b" " * (size - len(call))

    response = api.client.post(
        "/api",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == status
    assert response.get_json().get("result") == ("a" if status == 200 else None)


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH", "LOCK", "TRACE"])
def test_another_http_method_is_405_in_json(api, verb):
    response = api.client.open("/api", method=verb)

    assert response.status_code == 405
    assert response.headers["Allow"] == "POST, OPTIONS"
    assert response.get_json()["error"]["data"]["reason"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/a/b", "/api/browse"])
def test_an_unknown_path_below_api_is_404_in_json_though_the_console_takes_the_rest(api, path):
    api.app.add_url_rule("/", "console", lambda **_path: "console", methods=["GET"])
    api.app.add_url_rule("/<path:path>", "console", methods=["GET"])
    for verb in ("GET", "POST"):
        response = api.client.open(path, method=verb)

        assert response.status_code == 404
        assert response.get_json()["error"]["data"]["reason"] == "unknown_path"
    assert api.client.get("/anything").data == b"console"


def test_options_says_what_may_be_asked(api):
    response = api.client.options("/api")

    assert (response.status_code, response.headers["Allow"]) == (204, "POST, OPTIONS")


def test_a_call_opens_no_cookie_session(api):
    api.app.secret_key = "x" * 32
    response = api.post(request_of("echo", ["a"], id=1), headers={"Cookie": "session=rubbish"})

    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers


@pytest.mark.parametrize("name", ["rpc.describe", "Rpc.discover", "Echo", "echo ", ""])
def test_a_name_that_is_not_registered_is_not_found(api, name):
    error = api.error(name)

    assert (error["code"], error["message"]) == (-32601, "Method not found")


def test_every_error_has_exactly_code_message_and_data_with_reason_and_ref(api, caplog):
    caplog.set_level(logging.INFO)
    for method, code, reason in [
        ("unknown", -32601, "method_not_found"),
        ("echo", -32602, "invalid_params"),
        ("crash", -32602, "invalid_params"),
        ("find", -32020, "not_found"),
        ("conflict", -32021, "conflict"),
        ("user.who", -32001, "not_logged_in"),
        ("odd_data", -32020, "not_found"),
    ]:
        error = api.error(method)

        assert set(error) == {"code", "message", "data"}
        assert (error["code"], error["data"]["reason"]) == (code, reason)
        assert error["data"]["ref"] in {getattr(record, "ref", None) for record in caplog.records}


def test_an_error_of_ours_carries_its_data(api):
    assert api.error("find")["message"] == "There is no such thing."
    assert api.error("find")["data"]["field"] == "thing"
    assert api.error("conflict")["data"]["state"] == "applied"
    assert api.error("user.who")["data"]["status"] == 41002


def test_our_own_type_error_is_an_internal_error_that_only_the_log_explains(api, caplog):
    seen = []
    from flask import got_request_exception

    def note(_sender, exception):
        seen.append(type(exception))

    with got_request_exception.connected_to(note, api.app):
        error = api.error("crash", [SECRET])

    assert error == {
        "code": -32603,
        "message": "Internal error",
        "data": {"reason": "internal", "ref": error["data"]["ref"]},
    }
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert (record.ref, record.method) == (error["data"]["ref"], "crash")
    assert record.exc_info is not None
    assert seen == [TypeError]


def test_no_secret_of_a_call_reaches_answer_or_log(api, caplog):
    caplog.set_level(logging.DEBUG)
    for method in ("crash", "break_database", "find", "unknown", "user.who", "user.greet"):
        for params in ([SECRET], {"password": SECRET}, {"password": SECRET, "token": SECRET}, {"word": [SECRET]}):
            response = api.post(request_of(method, params, id=1), headers={"Authorization": f"Bearer {SECRET}"})
            assert SECRET.encode() not in response.data
    api.post(f'{{"password":"{SECRET}"'.encode())

    assert SECRET not in caplog.text
    assert SECRET not in "".join(str(record.__dict__) for record in caplog.records)


def test_a_call_that_breaks_the_database_session_leaves_its_neighbours_whole(api):
    broken = request_of("break_database", ["x"], id=1)
    answers = api.post([broken, request_of("echo", ["a"], id=2), broken]).get_json()

    assert [one.get("result", one.get("error", {}).get("code")) for one in answers] == [-32603, "a", -32603]


@pytest.mark.parametrize(
    ("header", "params"),
    [
        (f"Bearer {GOOD_TOKEN}", {"word": "jack"}),
        (f"bearer  {GOOD_TOKEN}", ["jack"]),
        (f"BEARER {GOOD_TOKEN}", {"word": "jack", "token": "the header wins"}),
        (None, {"word": "jack", "token": GOOD_TOKEN}),
        ("Basic eDp5", {"word": "jack", "token": GOOD_TOKEN}),
    ],
)
def test_a_token_comes_in_the_header_or_by_name(api, header, params):
    headers = {"Authorization": header} if header else {}

    assert api.post(request_of("user.greet", params, id=1), headers=headers).get_json()["result"] == "jack"


@pytest.mark.parametrize(
    ("header", "params"),
    [
        (None, {"word": "jack"}),
        (None, [GOOD_TOKEN, "jack"]),
        (None, {"nonsense": 1}),
        ("Bearer wrong", {"word": "jack", "token": GOOD_TOKEN}),
        ("Bearer ", {"word": "jack", "token": GOOD_TOKEN}),
        ("Bearer \xff\xfe", {"word": "jack"}),
        (None, {"word": "jack", "token": None}),
        (None, {"word": "jack", "token": 5}),
        (None, {"word": "jack", "token": ["a"]}),
        (None, {"word": "jack", "token": "x" * 2000}),
    ],
)
def test_without_a_valid_token_nothing_else_is_said(api, header, params):
    headers = {"Authorization": header} if header else {}

    answer = api.post(request_of("user.greet", params, id=1), headers=headers).get_json()

    assert answer["error"]["code"] == -32001


def test_the_permission_is_the_name_and_the_default_is_no(rpc_api):
    api = rpc_api(*METHODS, patterns=("user.who", "greet.*"))

    assert api.result("user.who", token=GOOD_TOKEN) == "jack"
    for params in ({"word": "a"}, {"nonsense": 1}):
        assert api.error("user.greet", params, token=GOOD_TOKEN)["code"] == -32003


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("**", "anything.at.all", True),
        ("run.*", "run.list", True),
        ("run.*", "run.list.more", False),
        ("run.*", "rerun.list", False),
        ("*.list", "run.list", True),
        ("run.**", "run.list.more", True),
        ("run.list", "run.list", True),
        ("run.list", "run_list", False),
        ("run.l.st", "run.list", False),
        ("*", "run.list", False),
        ("", "run.list", False),
    ],
)
def test_a_pattern_covers_segments(pattern, name, allowed):
    assert Principal(1, "a", "A", None, (pattern,)).may(name) is allowed


def test_nobody_is_the_caller_of_a_public_method(rpc_api):
    api = rpc_api(Method("who", who, public=True))

    assert api.error("who", token=GOOD_TOKEN)["code"] == -32001


def test_a_limit_counts_a_logged_in_caller_wherever_the_call_comes_from(rpc_api):
    api = rpc_api(Method("user.who", who, limit="1/minute"))
    codes = [
        api.call("user.who", token=GOOD_TOKEN, environ_base={"REMOTE_ADDR": f"10.0.0.{n}"}).get("error", {}).get("code")
        for n in range(2)
    ]

    assert codes == [None, -32010]


@pytest.mark.parametrize(("ended", "read"), [(True, 2 * 1024 * 1024), (False, 0)])
def test_a_body_of_unknown_length_is_read_away_only_when_it_has_an_end(api, ended, read):
    from opsplatform.core.rpc_http import discard_body

    body = io.BytesIO(b"x" * 2 * 1024 * 1024)
    environ = {"wsgi.input": body, "wsgi.input_terminated": ended}
    with api.app.test_request_context("/api", method="POST", environ_overrides=environ) as context:
        context.request.environ.pop("CONTENT_LENGTH", None)
        discard_body()

    assert body.tell() == read


def test_every_call_of_a_batch_logs_in_by_itself(api):
    with_token = request_of("user.who", {"token": GOOD_TOKEN}, id=1)
    answers = api.post([with_token, request_of("user.who", {}, id=2)]).get_json()

    assert answers[0]["result"] == "jack"
    assert answers[1]["error"]["code"] == -32001


def test_a_limit_counts_calls_and_not_requests(rpc_api):
    api = rpc_api(Method("echo", echo, public=True, limit="3/minute"))
    calls = [request_of("echo", ["a"], id=n) for n in range(5)]

    answers = api.post(calls).get_json()

    assert [one.get("result", one.get("error", {}).get("code")) for one in answers] == ["a"] * 3 + [-32010] * 2
    assert 1 <= answers[-1]["error"]["data"]["retry_after"] <= 60


def test_a_limit_counts_each_address_and_each_named_value(rpc_api):
    api = rpc_api(Method("echo", echo, public=True, limit="2/minute", limit_by="word"))

    def code(address, word):
        answer = api.call("echo", [word], environ_base={"REMOTE_ADDR": address})
        return answer.get("error", {}).get("code")

    assert [code("10.0.0.1", "a"), code("10.0.0.1", "b"), code("10.0.0.1", "c")] == [None, None, -32010]
    assert [code("10.0.0.2", "a"), code("10.0.0.3", "a")] == [None, -32010]


def test_wrong_params_do_not_use_up_a_limit(rpc_api):
    api = rpc_api(Method("echo", echo, public=True, limit="1/minute"))

    assert [api.error("echo", [1])["code"] for _ in range(3)] == [-32602] * 3
    assert api.result("echo", ["a"]) == "a"


def test_a_limit_goes_on_in_memory_when_redis_is_away(caplog):
    from limits import parse

    caplog.set_level("WARNING")
    limiter = Limiter("redis://127.0.0.1:1/0")

    for _ in range(2):
        limiter.hit(parse("5/minute"), "a")

    assert "cannot be reached" in caplog.text


def test_an_answer_is_json_without_escapes(api):
    raw = api.post(json.dumps(request_of("echo", ["中"], id=1)).encode())

    assert raw.mimetype == "application/json"
    assert "中".encode() in raw.data
