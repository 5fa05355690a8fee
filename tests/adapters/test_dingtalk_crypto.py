"""Pushed events: the shared vectors, every refusal, and one shape for both envelopes."""

import base64
import json
from pathlib import Path

import pytest

from opsplatform.adapters import dingtalk_crypto
from opsplatform.adapters.dingtalk_crypto import (
    BadEvent,
    EventCrypto,
    decode_key,
    decrypt,
    encrypt,
    normalise,
    read_query,
    sign,
)

VECTORS = json.loads((Path(__file__).parent.parent / "contract" / "dingtalk_vectors.json").read_text(encoding="utf-8"))
SIGNED = [case for case in VECTORS["published"] if case["token"]]
GENERATED = [(case, vector) for case in VECTORS["generated"] for vector in case["vectors"]]
TOKEN, AES_KEY, OWNER = "token16characters", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "dingappkey"
KEY = decode_key(AES_KEY)


def crypto_of(case):
    return EventCrypto(case["token"], case["aes_key"], [case["owner_key"]])


def open_case(case, vector):
    body = json.dumps({"encrypt": vector["encrypt"]}).encode()
    return crypto_of(case).open(
        signature=vector["signature"], timestamp=case["timestamp"], nonce=case["nonce"], body=body
    )


def pushed(padded):
    """An event whose signature is right, around a plaintext that is padded by hand."""
    sealed = base64.b64encode(dingtalk_crypto.AES.new(KEY, 2, KEY[:16]).encrypt(padded)).decode()
    return signed(sealed)


def signed(sealed):
    signature = sign(TOKEN, "1", "n", sealed)
    return {"signature": signature, "timestamp": "1", "nonce": "n", "body": json.dumps({"encrypt": sealed}).encode()}


def plain_of(message, owner=b"dingappkey", length=None):
    return b"r" * 16 + (len(message) if length is None else length).to_bytes(4, "big") + message + owner


def detail_of(push):
    with pytest.raises(BadEvent) as caught:
        EventCrypto(TOKEN, AES_KEY, [OWNER]).open(**push)
    assert "DINGTALK" not in str(caught.value)
    return caught.value.detail


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: case["name"])
def test_a_published_event_opens(case):
    assert open_case(case, case) == (case["plain"], case["owner_key"])


@pytest.mark.parametrize("case", VECTORS["published"], ids=lambda case: case["name"])
def test_a_published_ciphertext_decrypts_and_comes_out_the_same_byte_for_byte(case):
    key, noise = decode_key(case["aes_key"]), base64.b64decode(case["random16_b64"])
    message = case["plain"].encode()
    plain = noise + len(message).to_bytes(4, "big") + message + case["owner_key"].encode()

    assert decrypt(key, base64.b64decode(case["encrypt"])) == plain
    assert base64.b64encode(encrypt(key, plain, case["pad_block"])).decode() == case["encrypt"]


@pytest.mark.parametrize("case", VECTORS["published_raw_aes"], ids=lambda case: case["name"])
def test_the_published_aes_step_agrees(case):
    assert decrypt(decode_key(case["aes_key"]), base64.b64decode(case["encrypt"])).decode() == case["raw_plain"]


@pytest.mark.parametrize(("case", "vector"), GENERATED, ids=lambda item: item.get("case") or item.get("generator"))
def test_what_other_implementations_sealed_opens(case, vector):
    assert open_case(case, vector) == (case["plain"], case["owner_key"])


@pytest.mark.parametrize(("case", "vector"), GENERATED, ids=lambda item: item.get("case") or item.get("generator"))
def test_an_answer_is_what_other_implementations_make_byte_for_byte(case, vector, monkeypatch):
    monkeypatch.setattr(dingtalk_crypto.encrypt, "__defaults__", (vector["pad_block"],))

    answer = crypto_of(case).answer(
        case["owner_key"],
        case["plain"],
        random16=base64.b64decode(vector["random16_b64"]),
        timestamp=case["timestamp"],
        nonce=case["nonce"],
    )

    assert answer["encrypt"] == "".join(vector["encrypt"].split())
    if not vector["whitespace_in_encrypt"]:
        assert answer["msg_signature"] == vector["signature"]


@pytest.mark.parametrize("case", VECTORS["negative"], ids=lambda case: case["case"])
def test_the_negative_vectors_end_as_they_should(case):
    try:
        open_case(case, case)
        outcome = "accept"
    except BadEvent:
        outcome = "reject"

    assert case["expect"] in {outcome, "accept-or-reject"}


def test_the_answer_to_an_event_has_four_fields_and_opens_with_the_same_secrets():
    crypto = EventCrypto(TOKEN, AES_KEY, [OWNER])

    answer = crypto.answer(OWNER)

    assert set(answer) == {"msg_signature", "timeStamp", "nonce", "encrypt"}
    body = json.dumps({"encrypt": answer["encrypt"]}).encode()
    opened = crypto.open(
        signature=answer["msg_signature"], timestamp=answer["timeStamp"], nonce=answer["nonce"], body=body
    )
    assert opened == ("success", OWNER)


def test_every_accepted_owner_key_is_told_apart():
    crypto = EventCrypto(TOKEN, AES_KEY, ["", OWNER, "dingcorp"])

    for owner in (OWNER, "dingcorp"):
        push = signed(base64.b64encode(encrypt(KEY, plain_of(b"{}", owner.encode()))).decode())
        assert crypto.open(**push) == ("{}", owner)


@pytest.mark.parametrize(
    ("padded", "detail"),
    [
        (bytes([32]) * 32, "too short"),
        (plain_of(b"x", length=2**32 - 1) + b"\x01", "stated length"),
        (plain_of(b"x", b"dingappkeyX") + bytes([16]) * 16, "another app"),
        (plain_of(b"x", b"") + bytes([11]) * 11, "another app"),
        (plain_of(b"\xff\xfe\xfd") + bytes([15]) * 15, "not UTF-8"),
        (b"p" * 31 + bytes([33]), "padding"),
        (b"p" * 31 + bytes([0]), "padding"),
        (b"p" * 30 + bytes([1, 2]), "padding"),
    ],
)
def test_a_plaintext_that_is_not_whole_is_refused(padded, detail):
    padded += b"\x01" * (-len(padded) % 16) if detail == "stated length" else b""
    assert detail in detail_of(pushed(padded))


@pytest.mark.parametrize("sealed", ["@@@@", "é" * 44, "AAA", "\ud800"])
def test_what_is_not_base64_is_refused(sealed):
    assert "base64" in detail_of(signed(sealed))


@pytest.mark.parametrize("size", [0, 16, 40])
def test_a_ciphertext_of_an_impossible_length_is_refused(size):
    assert "length" in detail_of(signed(base64.b64encode(b"x" * size).decode()))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"encrypt": 1}', b"\xff", b"[" * 200_000, b'{"encrypt":"' + b"A" * 1_048_576 + b'"}']
)
def test_a_body_without_a_ciphertext_is_refused(body):
    push = signed("AAAA") | {"body": body}

    assert "body" in detail_of(push)


@pytest.mark.parametrize("signature", ["", "0" * 40, "签名", "\ud800"])
def test_a_wrong_signature_is_refused_before_anything_is_decrypted(signature, monkeypatch):
    monkeypatch.setattr(dingtalk_crypto, "decrypt", lambda *_: pytest.fail("decrypted"))

    assert "signature" in detail_of(signed("AAAA") | {"signature": signature})


@pytest.mark.parametrize("key", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "\n", "密" * 43])
def test_a_key_that_cannot_be_one_is_refused_at_the_start(key):
    with pytest.raises(ValueError, match="DINGTALK_AES_KEY"):
        EventCrypto(TOKEN, key, [OWNER])


def test_a_missing_token_or_owner_is_refused_at_the_start():
    with pytest.raises(ValueError, match="DINGTALK_TOKEN"):
        EventCrypto("", AES_KEY, [OWNER])
    with pytest.raises(ValueError, match="DINGTALK_APP_KEY"):
        EventCrypto(TOKEN, AES_KEY, [""])


@pytest.mark.parametrize(
    "names", [["signature"], ["msg_signature"], ["signature", "msg_signature"]], ids=["old", "new", "both"]
)
def test_the_signature_may_have_either_name(names):
    query = {**{name: ["s"] for name in names}, "timestamp": ["1"], "nonce": ["n"]}

    assert read_query(query) == ("s", "1", "n")


@pytest.mark.parametrize(
    "query",
    [
        {"timestamp": ["1"], "nonce": ["n"]},
        {"signature": ["a"], "msg_signature": ["b"], "timestamp": ["1"], "nonce": ["n"]},
        {"signature": ["a", "a"], "timestamp": ["1"], "nonce": ["n"]},
        {"signature": ["a"], "timestamp": ["1", "2"], "nonce": ["n"]},
        {"signature": ["a"], "timestamp": ["1"], "nonce": [""]},
        {"signature": [""], "timestamp": ["1"], "nonce": ["n"]},
    ],
)
def test_a_query_that_leaves_a_doubt_is_refused(query):
    with pytest.raises(BadEvent):
        read_query(query)


def test_the_current_envelope_is_taken_off():
    text = json.dumps(
        {
            "EventType": "bpms_instance_change",
            "EventTime": 1663143335567,
            "CorpId": "ding9",
            "BizId": "1",
            "eventId": "c7c7",
            "type": "finish",
            "result": "agree",
            "processInstanceId": "9Qgx-_",
        }
    )

    event = normalise(text)

    assert (event.event_type, event.corp_id, event.event_id) == ("bpms_instance_change", "ding9", "c7c7")
    assert event.born_at is not None
    assert event.born_at.isoformat() == "2022-09-14T08:15:35.567000+00:00"
    assert event.data == {"type": "finish", "result": "agree", "processInstanceId": "9Qgx-_"}


def test_the_older_envelope_is_taken_off():
    text = '{"EventType":"bpms_instance_change","corpId":"dingc","type":"start","createTime":1640682789000}'

    event = normalise(text)

    assert (event.corp_id, event.event_id) == ("dingc", None)
    assert event.born_at is not None
    assert event.born_at.timestamp() == 1640682789
    assert event.data == {"type": "start", "createTime": 1640682789000}


def older(**fields):
    event = {"EventType": "bpms_instance_change", "corpId": "c", "processInstanceId": "p", "type": "start"}
    return normalise(json.dumps(event | fields)).dedupe_key


def test_the_same_event_has_the_same_key_and_another_one_another():
    assert older() == older(title="renamed meanwhile")
    others = [
        older(),
        older(type="finish", result="agree", finishTime=1),
        older(type="finish", result="refuse", finishTime=1),
        older(type="finish", result="refuse", finishTime=2),
        older(processInstanceId="q"),
        older(EventType="bpms_task_change"),
        older(taskId=7),
        older(corpId="d"),
        older(eventId="e"),
        older(eventId="f"),
    ]
    assert len(set(others)) == len(others)
    assert {len(key) for key in others} == {64}


def test_an_event_id_alone_decides_when_there_is_one():
    assert older(eventId="e", type="start") == older(eventId="e", type="finish")


def test_events_about_people_are_told_apart_by_everything_they_say():
    first = normalise('{"EventType":"user_add_org","UserId":["a"],"TimeStamp":43535463645}')
    second = normalise('{"EventType":"user_add_org","UserId":["b"],"TimeStamp":43535463645}')

    assert first.dedupe_key != second.dedupe_key
    assert first.born_at is not None


def test_an_event_keeps_only_text_a_database_takes():
    event = normalise('{"EventType":"x","title":"a\\u0000b\\ud800","list":["\\u0000",1],"o":{"\\u0000":null}}')

    assert event.data == {"title": "a\ufffdb?", "list": ["\ufffd", 1], "o": {"\ufffd": None}}


@pytest.mark.parametrize("moment", ["nonsense", 10**30, "", None, -1, "99999999999999999999"])
def test_a_time_we_cannot_read_does_not_lose_the_event(moment):
    event = normalise(json.dumps({"EventType": "x", "EventTime": moment}))

    assert event.event_type == "x"


@pytest.mark.parametrize(
    "text",
    ["", "success", "[]", "{}", '{"EventType":1}', '{"EventType":""}', '{"EventType":"%s"}' % ("x" * 65), "[" * 99_999],
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(BadEvent):
        normalise(text)
