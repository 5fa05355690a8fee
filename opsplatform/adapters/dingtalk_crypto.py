"""Events DingTalk pushes: check the signature, decrypt, answer, and bring both kinds of envelope to one shape.

Every failure is a `BadEvent`. Its detail is for our log only: a sender who learns which check failed could
decrypt messages by trial.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import math
import re
import secrets
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES

from opsplatform.adapters.dingtalk_values import read_time, storable

LARGEST_BODY = 1024 * 1024
AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
AES_BLOCK = 16
PAD_BLOCK = 32
SHORTEST_CIPHERTEXT = 32
NOISE = 16  # random bytes before the length
HEAD = NOISE + 4
LETTERS = string.ascii_letters + string.digits
LONGEST_EVENT_TYPE = 64
ENVELOPE = frozenset({"EventType", "EventTime", "CorpId", "corpId", "BizId", "eventId"})


class BadEvent(Exception):
    """A pushed event that is not DingTalk's, or not whole.

    Attributes:
        detail: what is wrong with it, for the log only.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("The event was not accepted.")
        self.detail = detail


@dataclass(frozen=True)
class Event:
    """A pushed event, whichever envelope it came in; `data` holds the fields of the event alone."""

    event_type: str
    corp_id: str | None
    event_id: str | None
    born_at: dt.datetime | None
    data: dict[str, Any]
    dedupe_key: str


class EventCrypto:
    """Opens pushed events and seals answers with the secrets of one subscription."""

    def __init__(self, token: str, aes_key: str, owner_keys: Sequence[str]) -> None:
        if not token:
            raise ValueError("DINGTALK_TOKEN must be the signing token of the event subscription")
        self._token = token
        self._key = decode_key(aes_key)
        self._owner_keys = tuple(key for key in owner_keys if key)
        if not self._owner_keys:
            raise ValueError("DINGTALK_APP_KEY or DINGTALK_CORP_ID must be set to know whose events to accept")

    def open(self, *, signature: str, timestamp: str, nonce: str, body: bytes) -> tuple[str, str]:
        """The text of an event and the owner key it was made with, which the answer must carry too."""
        sealed = _sealed_text(body)
        expected = sign(self._token, timestamp, nonce, sealed)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            raise BadEvent("the signature does not match; compare DINGTALK_TOKEN with the subscription")
        plain = decrypt(self._key, _decoded(sealed))
        if len(plain) < HEAD:
            raise BadEvent("the decrypted text is too short to be an event")
        end = HEAD + int.from_bytes(plain[NOISE:HEAD], "big")
        if end > len(plain):
            raise BadEvent("the stated length is longer than the text")
        owner_key = self._owner_of(plain[end:])
        try:
            return plain[HEAD:end].decode("utf-8"), owner_key
        except UnicodeDecodeError:
            raise BadEvent("the decrypted text is not UTF-8") from None

    def answer(
        self,
        owner_key: str,
        text: str = "success",
        *,
        random16: bytes | None = None,
        timestamp: str | None = None,
        nonce: str | None = None,
    ) -> dict[str, str]:
        """The four fields DingTalk wants back, sealed for the owner key the event came with."""
        timestamp = timestamp or str(time.time_ns() // 1_000_000)
        nonce = nonce or _random_text(16)
        message = text.encode()
        plain = (random16 or _random_text(NOISE).encode()) + len(message).to_bytes(4, "big") + message
        sealed = base64.b64encode(encrypt(self._key, plain + owner_key.encode())).decode()
        signature = sign(self._token, timestamp, nonce, sealed)
        return {"msg_signature": signature, "timeStamp": timestamp, "nonce": nonce, "encrypt": sealed}

    def _owner_of(self, tail: bytes) -> str:
        """The accepted owner key that is exactly `tail`; every one is compared, in constant time."""
        found = [key for key in self._owner_keys if hmac.compare_digest(key.encode(), tail)]
        if not found:
            raise BadEvent("the event belongs to another app or corp; compare DINGTALK_APP_KEY and DINGTALK_CORP_ID")
        return found[0]


def read_query(args: Mapping[str, list[str]]) -> tuple[str, str, str]:
    """Signature, timestamp and nonce of the request; the signature has two names, which must agree."""
    signatures = {_single(args, name) for name in ("signature", "msg_signature") if args.get(name)}
    if len(signatures) != 1:
        raise BadEvent("the query holds no signature, or two that differ")
    return signatures.pop(), _single(args, "timestamp"), _single(args, "nonce")


def normalise(text: str) -> Event:
    """An event from the text `EventCrypto.open` returned."""
    try:
        fields = _storable(json.loads(text))
    except (ValueError, RecursionError):
        raise BadEvent("the event is not JSON") from None
    if not isinstance(fields, dict):
        raise BadEvent("the event is no JSON object")
    event_type = fields.get("EventType")
    if not isinstance(event_type, str) or not 0 < len(event_type) <= LONGEST_EVENT_TYPE:
        raise BadEvent("the event has no EventType")
    corp_id, event_id = fields.get("CorpId") or fields.get("corpId"), fields.get("eventId")
    return Event(
        event_type=event_type,
        corp_id=str(corp_id) if corp_id else None,
        event_id=str(event_id) if event_id else None,
        born_at=_born_at(fields),
        data={name: value for name, value in fields.items() if name not in ENVELOPE},
        dedupe_key=_dedupe_key(event_type, corp_id, event_id, fields),
    )


def decode_key(aes_key: str) -> bytes:
    """The 32 bytes of a 43-character key; its last character carries two stray bits, which are ignored."""
    if not AES_KEY.fullmatch(aes_key):
        raise ValueError("DINGTALK_AES_KEY must be the 43 letters and digits of the event subscription")
    return base64.b64decode(aes_key + "=")


def sign(token: str, timestamp: str, nonce: str, sealed: str) -> str:
    """The signature over the four texts, sorted bytewise."""
    parts = sorted(part.encode("utf-8", "surrogatepass") for part in (token, timestamp, nonce, sealed))
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()


def encrypt(key: bytes, plain: bytes, block: int = PAD_BLOCK) -> bytes:
    """Pad to `block` and encrypt."""
    pad = block - len(plain) % block
    return AES.new(key, AES.MODE_CBC, key[:AES_BLOCK]).encrypt(plain + bytes([pad]) * pad)


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
    """Decrypt and take the padding off; every byte of it must be right."""
    if len(ciphertext) < SHORTEST_CIPHERTEXT or len(ciphertext) % AES_BLOCK:
        raise BadEvent("the ciphertext has an impossible length")
    padded = AES.new(key, AES.MODE_CBC, key[:AES_BLOCK]).decrypt(ciphertext)
    pad = padded[-1]
    if not 1 <= pad <= PAD_BLOCK or padded[-pad:] != bytes([pad]) * pad:
        raise BadEvent("the padding is wrong; compare DINGTALK_AES_KEY with the subscription")
    return padded[:-pad]


def _single(args: Mapping[str, list[str]], name: str) -> str:
    values = args.get(name, [])
    if len(values) != 1 or not values[0]:
        raise BadEvent(f"the query must hold {name} exactly once")
    return values[0]


def _sealed_text(body: bytes) -> str:
    """The member `encrypt` of the body, letter for letter."""
    if len(body) > LARGEST_BODY:
        raise BadEvent("the body is larger than any event")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadEvent("the body is not JSON") from None
    sealed = fields.get("encrypt") if isinstance(fields, dict) else None
    if not isinstance(sealed, str):
        raise BadEvent("the body has no text named encrypt")
    return sealed


def _decoded(sealed: str) -> bytes:
    """Strict base64, apart from the line breaks some senders put in."""
    try:
        return base64.b64decode("".join(sealed.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadEvent("the text named encrypt is not base64") from None


def _storable(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """The value with every text fit for a database; a signed event is kept, not refused, for an odd character."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None  # Python reads 1e999 and NaN, no database takes what it makes of them
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): _storable(item) for name, item in value.items()}
    return value


def _born_at(fields: Mapping[str, Any]) -> dt.datetime | None:
    """When it happened, by the first time the event names."""
    names = ("EventTime", "timeStamp", "TimeStamp", "finishTime", "createTime")
    return read_time(next((fields[name] for name in names if fields.get(name)), None))


def _dedupe_key(event_type: str, corp_id: object, event_id: object, fields: Mapping[str, Any]) -> str:
    """The same text for the same event, however often and in whichever envelope it is pushed."""
    if event_id:
        parts: list[object] = ["id", corp_id, event_id]
    elif fields.get("processInstanceId"):
        names = ("processInstanceId", "type", "result", "taskId")
        moment = fields.get("finishTime") or fields.get("createTime")
        parts = ["approval", corp_id, event_type, *(fields.get(name) for name in names), moment]
    else:
        parts = ["whole", fields]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))
