"""How long DingTalk waits for its answer at 20 pushes a second; every push is a signed event not seen before.

Beside it: `/healthz` at the same rate, and one durable SQLite commit, which no answer can do without.
"""

import http.client
import json
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from urllib.parse import urlencode, urlsplit

from opsplatform.adapters.dingtalk_crypto import EventCrypto
from opsplatform.simulator import seed
from tests.bench.figures import Figure, limited, quantile, said
from tests.bench.stack import Stack, a_stack

A_SECOND = 20
SECONDS = 15
FLOOR_SECONDS = 4
LONGEST_MS = 300.0


def measure() -> list[Figure]:
    """The slowest of a hundred, of an otherwise idle platform."""
    with a_stack() as stack:
        floor = _at_rate([lambda: _ask(stack, "GET", "/healthz")] * (A_SECOND * FLOOR_SECONDS))
        pushes = [_push(stack, _sealed_event()) for _ in range(A_SECOND * SECONDS)]
        waits = _at_rate(pushes)
        stored = stack.ledger.value("SELECT count(*) FROM inbox_event")
    if stored != len(pushes):
        raise RuntimeError(f"{len(pushes)} events were pushed and {stored} are stored")
    p50, p99, longest = median(waits), quantile(waits, 0.99), max(waits)
    print(f"   p50 {said(p50, 'ms')}, p99 {said(p99, 'ms')}, longest {said(longest, 'ms')}, {len(waits)} pushes")
    beside = f"/healthz p99 {said(quantile(floor, 0.99), 'ms')}, durable commit {said(_commit(), 'ms')}"
    return [limited("callback p99", p99 * 1000, unit="ms", at_most=LONGEST_MS, beside=beside)]


def _at_rate(calls: list[Callable[[], None]]) -> list[float]:
    """Make each call at its time, whether or not the earlier ones are done; how long each took from that time on."""
    start = time.perf_counter() + 0.1

    def timed(number: int, call: Callable[[], None]) -> float:
        call()
        return time.perf_counter() - (start + number / A_SECOND)

    with ThreadPoolExecutor(16) as senders:
        waiting = []
        for number, call in enumerate(calls):
            time.sleep(max(0.0, start + number / A_SECOND - time.perf_counter()))
            waiting.append(senders.submit(timed, number, call))
        return [each.result() for each in waiting]


def _sealed_event() -> tuple[str, bytes]:
    """Query and body of an event about a template that no module is bound to."""
    event = {
        "EventType": "bpms_instance_change",
        "eventId": uuid.uuid4().hex,
        "corpId": seed.CORP_ID,
        "processInstanceId": uuid.uuid4().hex,
        "processCode": "PROC-OF-SOMEBODY-ELSE",
        "type": "start",
        "title": "张三提交的请假",
        "staffId": "zhangsan",
        "createTime": time.time_ns() // 1_000_000,
    }
    sealed = _crypto().answer(seed.APP_KEY, json.dumps(event, ensure_ascii=False))
    query = {"signature": sealed["msg_signature"], "timestamp": sealed["timeStamp"], "nonce": sealed["nonce"]}
    return urlencode(query), json.dumps({"encrypt": sealed["encrypt"]}).encode()


def _push(stack: Stack, event: tuple[str, bytes]) -> Callable[[], None]:
    query, body = event
    return lambda: _ask(stack, "POST", f"/dingtalk/callback?{query}", body)


def _ask(stack: Stack, method: str, path: str, body: bytes | None = None) -> None:
    """One request over a connection of its own; anything but 200 and, for an event, the sealed answer is an error."""
    connection = http.client.HTTPConnection(urlsplit(stack.address).netloc, timeout=10)
    with closing(connection):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    if answer.status != 200 or (body and b"encrypt" not in text):
        raise RuntimeError(f"{path.partition('?')[0]} answered {answer.status}: {text[:200]!r}")


def _commit() -> float:
    """The median of a hundred inserts into a SQLite file of its own, each flushed to the disk."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "floor.db")) as connection:
        connection.isolation_level = None
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a)")
        took = []
        for _ in range(100):
            begun = time.perf_counter()
            connection.execute("INSERT INTO t VALUES (1)")
            took.append(time.perf_counter() - begun)
        return median(took)


def _crypto() -> EventCrypto:
    return EventCrypto(seed.CALLBACK_TOKEN, seed.CALLBACK_AES_KEY, [seed.APP_KEY])
