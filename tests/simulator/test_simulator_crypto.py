"""The simulator's own crypto against an independent package, the shared vectors, and the receiver of the platform."""

import base64
import json
import secrets
from pathlib import Path

import pytest
from dingtalk.crypto import DingTalkCrypto

from opsplatform.adapters.dingtalk_crypto import EventCrypto
from opsplatform.simulator.crypto import Seal, WrongAnswer

VECTORS = json.loads((Path(__file__).parent.parent / "contract" / "dingtalk_vectors.json").read_text(encoding="utf-8"))
TOKEN, AES_KEY, OWNER = "token16characters", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "dingappkey"
TEXTS = [
    "success",
    '{"EventType":"check_url"}',
    "é中文😀",
    "x" * 127,
    "中" * 128,
    f"contains {OWNER} inside",
    "y" * 20_000,
]
GENERATED = [(case, vector) for case in VECTORS["generated"] for vector in case["vectors"] if vector["pad_block"] == 32]


@pytest.fixture
def seal():
    return Seal(TOKEN, AES_KEY, OWNER)


@pytest.fixture
def package():
    return DingTalkCrypto(TOKEN, AES_KEY, OWNER)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(len(text)))
def test_an_independent_package_opens_what_the_simulator_seals(seal, package, text):
    sealed = seal.close(text, secrets.token_bytes(16))

    signature = seal.signature("1608001896814", "WL4PK6yA", sealed)

    assert package.decrypt_encrypt_str(signature, "1608001896814", "WL4PK6yA", sealed) == text


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(len(text)))
def test_the_simulator_opens_what_an_independent_package_seals(seal, package, text):
    answer = package.encrypt_message(text)

    assert seal.open(answer["encrypt"]) == text
    assert seal.signature(answer["timeStamp"], answer["nonce"], answer["encrypt"]) == answer["msg_signature"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(len(text)))
def test_simulator_and_platform_open_each_other(seal, text):
    platform = EventCrypto(TOKEN, AES_KEY, [OWNER])
    sealed = seal.close(text, secrets.token_bytes(16))
    body = json.dumps({"encrypt": sealed}).encode()

    opened = platform.open(signature=seal.signature("1", "n", sealed), timestamp="1", nonce="n", body=body)

    assert opened == (text, OWNER)
    assert seal.open(platform.answer(OWNER, text)["encrypt"]) == text


@pytest.mark.parametrize(("case", "vector"), GENERATED, ids=lambda item: item.get("case") or item.get("generator"))
def test_the_simulator_seals_as_the_vectors_say_byte_for_byte(case, vector):
    seal = Seal(case["token"], case["aes_key"], case["owner_key"])

    sealed = seal.close(case["plain"], base64.b64decode(vector["random16_b64"]))

    assert sealed == "".join(vector["encrypt"].split())
    assert seal.open(sealed) == case["plain"]
    assert seal.signature(case["timestamp"], case["nonce"], vector["encrypt"]) == vector["signature"]


def test_the_encrypted_success_is_accepted(seal):
    assert seal.check(EventCrypto(TOKEN, AES_KEY, [OWNER]).answer(OWNER)) is None


def answers():
    good = EventCrypto(TOKEN, AES_KEY, [OWNER])
    other_text = good.answer(OWNER, "fine")
    other_owner = good.answer("dingcorp")
    other_key = EventCrypto(TOKEN, AES_KEY[::-1], [OWNER]).answer(OWNER)
    sealed = good.answer(OWNER)
    return {
        "another text": other_text,
        "another owner": other_owner,
        "another key": other_key,
        "a field missing": {name: text for name, text in sealed.items() if name != "timeStamp"},
        "a number for a text": {**sealed, "timeStamp": 1},
        "a wrong signature": {**sealed, "msg_signature": "0" * 40},
        "nothing": {},
    }


@pytest.mark.parametrize("name", answers())
def test_any_other_answer_is_refused(seal, name):
    with pytest.raises(WrongAnswer):
        seal.check(answers()[name])


@pytest.mark.parametrize("sealed", ["", "AAAA", base64.b64encode(b"x" * 32).decode(), "é"])
def test_what_cannot_be_decrypted_is_refused(seal, sealed):
    with pytest.raises(WrongAnswer):
        seal.open(sealed)
