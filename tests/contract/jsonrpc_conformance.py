"""The shared JSON-RPC cases against the dispatcher; also a script, so that they run under `python -O` too.

It uses no `assert`, which `-O` would take away. Exit code 1 and one line per mismatch when something differs.
"""

import json
import sys
import tempfile
from pathlib import Path

from flask import Flask

from config import Config
from opsplatform.core.db import init_db
from opsplatform.core.rpc import Method, init_rpc

CASES = json.loads(Path(__file__).with_name("jsonrpc_cases.json").read_text(encoding="utf-8"))


def subtract(minuend: int, subtrahend: int) -> int:
    return minuend - subtrahend


def add_up(a: int, b: int, c: int) -> int:
    return a + b + c


def update(a: int, b: int, c: int, d: int, e: int) -> None:
    return None


def notify_hello(n: int) -> None:
    return None


def get_data() -> list[str | int]:
    return ["hello", 5]


def nothing() -> None:
    return None


def fail() -> int:
    raise ValueError("secret-detail")


METHODS = [
    Method("subtract", subtract, public=True),
    Method("sum", add_up, public=True),
    Method("update", update, public=True),
    Method("notify_hello", notify_hello, public=True),
    Method("notify_sum", add_up, public=True),
    Method("get_data", get_data, public=True),
    Method("nothing", nothing, public=True),
    Method("fail", fail, public=True),
]


def case_app(folder):
    """An application with the functions the cases need."""
    app = Flask("cases")
    app.extensions["settings"] = Config(ops_env="testing", ops_data_dir=folder)
    init_db(app, f"sqlite:///{folder}/cases.db")
    init_rpc(app, METHODS, authenticate=lambda _token: None)
    return app


def differs(client, case):
    """What is wrong with the answer to a case, or None."""
    response = client.post("/api", data=case["request"].encode(), content_type="application/json")
    expected = case["expect"]
    if expected is None:
        return None if response.data == b"" and response.status_code in {200, 204} else f"answered {response.data!r}"
    got = json.loads(response.data)
    if response.status_code != 200 or response.mimetype != "application/json":
        return f"came as {response.status_code} {response.mimetype}"
    same = _same_batch(got, expected) if isinstance(expected, list) else _same(got, expected)
    return None if same else f"got {got}, expected {expected}"


def _same_batch(got, expected):
    left = list(got) if isinstance(got, list) else []
    for one in expected:
        match = next((answer for answer in left if _same(answer, one)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same(got, expected):
    if not isinstance(got, dict) or set(got) != set(expected) or not _equal(got["id"], expected["id"]):
        return False
    if got["jsonrpc"] != "2.0":
        return False
    if "result" in expected:
        return _equal(got["result"], expected["result"])
    error = got["error"]
    wanted = expected["error"]
    return set(error) == {"code", "message", "data"} and all(error[key] == wanted[key] for key in wanted)


def _equal(one, other):
    return one == other and isinstance(one, bool) == isinstance(other, bool)


if __name__ == "__main__":
    wrong = 0
    with tempfile.TemporaryDirectory() as made:
        tester = case_app(Path(made)).test_client()
        for each in CASES["spec"] + CASES["derived"]:
            problem = differs(tester, each)
            if problem:
                wrong += 1
                print(f"{each['name']}: {problem}")
    sys.exit(1 if wrong else 0)
