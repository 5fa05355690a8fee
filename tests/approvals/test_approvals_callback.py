"""`/dingtalk/callback`: what DingTalk sends is stored once, answered; anything else gets one and the same refusal."""

import io
import json
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsplatform.adapters.dingtalk_crypto import EventCrypto, sign
from opsplatform.approvals.models import InboxEvent
from opsplatform.core.queue import Queue
from tests.miniatures import CORP, a_platform, count, rows
from tests.support import ROOT

TOKEN, KEY, OWNER = "a-token", "a" * 43, "dingappkey"
VECTORS = json.loads((ROOT / "tests" / "contract" / "dingtalk_vectors.json").read_text(encoding="utf-8"))
NEGATIVE = [vector for vector in VECTORS["negative"] if vector["expect"] == "reject"]
POSITIVE = [vector for vector in VECTORS["negative"] if vector["expect"] == "accept"]
REFUSAL = b'{"error":"The event was not accepted."}\n'
EVENT = {
    "EventType": "bpms_instance_change",
    "CorpId": CORP,
    "processInstanceId": "PI-1",
    "processCode": "PROC-DEMO-SERVER",
    "type": "start",
    "createTime": 1767323040000,
}


class Sender:
    """Pushes to one platform as DingTalk does."""

    def __init__(self, platform, token=TOKEN, key=KEY, owner=OWNER):
        self.platform, self.token, self.owner = platform, token, owner
        self.crypto = EventCrypto(token, key, [owner])

    def sealed(self, event):
        """Query and body of a push."""
        text = event if isinstance(event, str) else json.dumps(event)
        fields = self.crypto.answer(self.owner, text)
        query = {"signature": fields["msg_signature"], "timestamp": fields["timeStamp"], "nonce": fields["nonce"]}
        return query, json.dumps({"encrypt": fields["encrypt"]}).encode()

    def post(self, query, body):
        return self.platform.app.test_client().post("/dingtalk/callback", query_string=query, data=body)

    def push(self, event):
        return self.post(*self.sealed(event))

    def opened(self, response):
        """The text of a sealed answer."""
        answer = response.get_json()
        text, _owner = self.crypto.open(
            signature=answer["msg_signature"],
            timestamp=answer["timeStamp"],
            nonce=answer["nonce"],
            body=json.dumps({"encrypt": answer["encrypt"]}).encode(),
        )
        return text


@pytest.fixture
def send_to(make_config, clean_up):
    """A platform that accepts these secrets, and somebody who pushes to it."""

    def build(token=TOKEN, key=KEY, owner=OWNER):
        platform = a_platform(make_config(dingtalk_token=token, dingtalk_aes_key=key, dingtalk_app_key=owner))
        clean_up(platform.app)
        return Sender(platform, token, key, owner)

    return build


@pytest.fixture
def sender(send_to):
    built = send_to()
    with built.platform.context():
        yield built


def test_an_event_is_stored_a_worker_woken_and_the_answer_is_a_sealed_success(sender):
    response = sender.push(EVENT)

    (event,) = rows(InboxEvent)
    assert (response.status_code, sender.opened(response)) == (200, "success")
    assert (event.status, event.instance_id, event.event_type) == ("received", "PI-1", "bpms_instance_change")
    assert sender.platform.waiting() == [("approvals.handle_event", {"event_id": event.id})]


def test_the_handshake_is_answered_and_not_stored(sender):
    response = sender.push({"EventType": "check_url"})

    assert (response.status_code, sender.opened(response)) == (200, "success")
    assert set(response.get_json()) == {"msg_signature", "timeStamp", "nonce", "encrypt"}
    assert count(InboxEvent) == 0


@pytest.mark.parametrize("names", [["signature"], ["msg_signature"], ["signature", "msg_signature"]])
def test_the_signature_is_taken_under_either_name(sender, names):
    query, body = sender.sealed(EVENT)
    signature = query.pop("signature")

    response = sender.post({**query, **dict.fromkeys(names, signature)}, body)

    assert response.status_code == 200
    assert count(InboxEvent) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda query: {**query, "msg_signature": "0" * 40},
        lambda query: {**query, "signature": [query["signature"]] * 2},
        lambda query: {name: value for name, value in query.items() if name != "signature"},
        lambda query: {name: value for name, value in query.items() if name != "nonce"},
        lambda query: {**query, "timestamp": ""},
        lambda query: {**query, "signature": query["signature"].upper()},
    ],
)
def test_a_query_that_is_not_whole_is_refused(sender, change):
    query, body = sender.sealed(EVENT)

    assert_refused(sender.post(change(query), body))


@pytest.mark.parametrize("vector", POSITIVE, ids=lambda vector: vector["case"])
def test_the_shared_vectors_that_are_right_are_accepted(send_to, vector):
    sender = send_to(vector["token"], vector["aes_key"], vector["owner_key"])

    assert post_vector(sender, vector).status_code == 200


@pytest.mark.parametrize("vector", NEGATIVE, ids=lambda vector: vector["case"])
def test_the_shared_vectors_that_are_wrong_are_refused_and_leave_nothing(send_to, vector):
    sender = send_to(vector["token"], vector["aes_key"], vector["owner_key"])

    with sender.platform.context():
        assert_refused(post_vector(sender, vector))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        "{}",
        '{"EventType": 7}',
        '{"EventType": ""}',
        json.dumps({"EventType": "x" * 65}),
        "[" * 9000,
    ],
)
def test_a_well_sealed_text_that_is_no_event_is_refused(sender, text):
    assert_refused(sender.push(text))


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 3 * 1024 * 1024])
def test_a_body_larger_than_any_event_is_refused(sender, size):
    query, _body = sender.sealed(EVENT)
    filler = "A" * (size - len('{"encrypt":""}'))
    query["signature"] = sign(TOKEN, query["timestamp"], query["nonce"], filler)

    assert_refused(sender.post(query, f'{{"encrypt":"{filler}"}}'.encode()))


def test_a_body_of_unknown_length_is_refused_when_it_is_too_long(sender):
    query, _body = sender.sealed(EVENT)
    endless = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    body = io.BytesIO(b'{"encrypt":"' + b"A" * 3 * 1024 * 1024)
    client = sender.platform.app.test_client()

    assert_refused(client.post("/dingtalk/callback", query_string=query, input_stream=body, environ_overrides=endless))


def test_every_event_is_refused_where_no_keys_are_set(make_config, clean_up):
    platform = a_platform(make_config())
    clean_up(platform.app)

    with platform.context():
        assert_refused(Sender(platform).push(EVENT))


def test_two_thousand_mutilated_bodies_store_nothing_and_break_nothing(sender):
    chance = random.Random(20260102)
    query, body = sender.sealed(EVENT)
    client = sender.platform.app.test_client()

    answers = {
        (response.status_code, response.data)
        for response in (
            client.post("/dingtalk/callback", query_string=query, data=mutilate(body, chance)) for _ in range(2000)
        )
    }

    assert answers == {(400, REFUSAL)}
    assert (count(InboxEvent), sender.platform.waiting()) == (0, [])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.dictionaries(st.sampled_from(["signature", "timestamp", "nonce"]), st.text(max_size=40)), body=st.binary()
)
def test_no_query_and_no_body_of_any_kind_breaks_it(sender, query, body):
    response = sender.post(query, body)

    assert (response.status_code, response.data) == (400, REFUSAL)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )
)
def test_an_event_may_carry_anything_and_is_kept(sender, value):
    response = sender.push({"EventType": "bpms_instance_change", "processInstanceId": value, "extra": value})

    assert response.status_code == 200


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "😀", "x" * 5000])
def test_an_odd_text_in_an_event_is_stored_on_every_database(sender, text):
    response = sender.push({**EVENT, "title": text, "processInstanceId": text, "eventId": text})

    assert (response.status_code, count(InboxEvent)) == (200, 1)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" * 400])
def test_an_odd_number_in_an_event_is_stored_on_every_database(sender, number):
    response = sender.push(f'{{"EventType": "bpms_instance_change", "processInstanceId": "PI-1", "odd": {number}}}')

    assert (response.status_code, count(InboxEvent)) == (200, 1)


def test_the_same_event_sixteen_times_at_once_is_stored_once(sender):
    meet = threading.Barrier(16)
    answers = []

    def push():
        query, body = sender.sealed(EVENT)
        meet.wait()
        answers.append(sender.post(query, body).status_code)

    threads = [threading.Thread(target=push) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200] * 16
    assert count(InboxEvent) == 1
    assert len(sender.platform.waiting()) == 1


def test_an_event_is_answered_only_when_it_is_committed(sender, monkeypatch):
    seen = []
    monkeypatch.setattr(Queue, "put", lambda *_args: seen.append(count(InboxEvent)))

    sender.push(EVENT)

    assert seen == [1]


def assert_refused(response):
    """One text for every refusal, and nothing is stored."""
    assert (response.status_code, response.data) == (400, REFUSAL)
    assert count(InboxEvent) == 0


def post_vector(sender, vector):
    query = {name: vector[name] for name in ("signature", "timestamp", "nonce")}
    return sender.post(query, json.dumps({"encrypt": vector["encrypt"]}).encode())


def mutilate(body, chance):
    """The body with a few bytes changed, lost, doubled or added; never the same as before."""
    found = bytearray(body)
    while bytes(found) == body or unchanged(found, body):
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(found) or 1)
            what = chance.randrange(4)
            if what == 0 and found:
                found[place % len(found)] ^= 1 << chance.randrange(8)
            elif what == 1:
                del found[place:]
            elif what == 2:
                found[place:place] = chance.randbytes(3)
            else:
                del found[place : place + 2]
    return bytes(found)


def unchanged(found, body):
    """Whether a JSON reader takes it for the same body."""
    try:
        return json.loads(bytes(found))["encrypt"] == json.loads(body)["encrypt"]
    except (ValueError, TypeError, KeyError):
        return False
