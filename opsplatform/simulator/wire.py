"""One push on the wire: encrypt, sign, post, and judge the answer as DingTalk does."""

import base64
import re
import secrets
import string
import time
from dataclasses import dataclass
from json import dumps
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from opsplatform.adapters.transport import AnswerError, BadAnswer, Client
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator.crypto import Seal, WrongAnswer
from opsplatform.simulator.faults import Fault
from opsplatform.simulator.world import Event, Refused

AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
ALPHANUMERIC = string.ascii_letters + string.digits
FORGED_SIGNATURE = "0" * 40
FORGED_OWNER = "dingAnotherOwnerKey"
SealedPush = tuple[dict[str, str], str]


@dataclass(frozen=True)
class Subscription:
    """Where events go, with the secrets agreed on; `tags` empty means every event."""

    url: str
    token: str
    aes_key: str
    owner_key: str
    envelope: str = "current"
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse secrets or an address no push could be made with."""
        address = urlsplit(self.url)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise Refused("71011", "传入的url参数不是合法的url格式")
        if not self.token or not AES_KEY.fullmatch(self.aes_key):
            raise Refused("71010", "POST的JSON数据不包含所需要的参数字段或包含的参数格式非法")

    def wants(self, event: Event) -> bool:
        """Whether the event is among those subscribed to."""
        return not self.tags or event.event_type in self.tags


@dataclass
class PushRules:
    """How pushes are made; adjustable while the simulator runs."""

    corp_id: str
    retry_delays: tuple[float, ...] = (10, 30)
    timeout: float = 1.5
    signature_names: tuple[str, ...] = ("signature",)
    sign_anew: bool = True


class Wire:
    """Sends sealed texts to subscribers over connections that stay open."""

    def __init__(self, rules: PushRules) -> None:
        self.rules = rules
        self._clients: dict[str, Client] = {}

    def seal(self, subscription: Subscription, body: dict[str, Any], fault: Fault | None = None) -> SealedPush:
        """Query and ciphertext of an event, spoiled when a fault says so."""
        kind = fault.kind if fault else ""
        owner = FORGED_OWNER if kind == "push.wrong_owner" else subscription.owner_key
        seal = Seal(subscription.token, subscription.aes_key, owner)
        timestamp, nonce = str(time.time_ns() // 1_000_000), _letters(8)
        sealed = seal.close(dumps(body, ensure_ascii=False), _letters(16).encode())
        if kind == "push.tampered":
            sealed = _tampered(sealed)
        signature = FORGED_SIGNATURE if kind == "push.wrong_signature" else seal.signature(timestamp, nonce, sealed)
        names = self.rules.signature_names
        return {**dict.fromkeys(names, signature), "timestamp": timestamp, "nonce": nonce}, sealed

    def send(self, subscription: Subscription, push: SealedPush) -> None:
        """Post to the subscriber and check that the answer is the encrypted success."""
        query, sealed = push
        address = urlsplit(subscription.url)
        params = dict(parse_qsl(address.query)) | query
        client = self._client(f"{address.scheme}://{address.netloc}")
        answer = client.call("POST", address.path or "/", params=params, json={"encrypt": sealed}, safe=False)
        Seal(subscription.token, subscription.aes_key, subscription.owner_key).check(answer)

    def shake_hands(self, subscription: Subscription) -> None:
        """Have the subscriber answer a `check_url`, or refuse with the code DingTalk would give."""
        try:
            self.send(subscription, self.seal(subscription, {"EventType": "check_url"}))
        except AnswerError as error:
            redirected = 300 <= error.status < 400  # noqa: PLR2004 - the redirects of HTTP
            reason = "不允许3xx跳转" if redirected else f"http statusCode is:{error.status}"
            raise Refused("71012", f"url地址访问异常,错误原因为:{reason}") from error
        except (WrongAnswer, BadAnswer) as error:
            raise Refused("71009", "返回文本非success") from error
        except UpstreamError as error:
            raise Refused("71012", f"url地址访问异常,错误原因为:{error.message}") from error

    def _client(self, origin: str) -> Client:
        key = f"{origin} {self.rules.timeout}"
        if key not in self._clients:
            self._clients[key] = Client(origin, "subscriber", timeout=(self.rules.timeout,) * 2, retries=0)
        return self._clients[key]


def _tampered(sealed: str) -> str:
    """The ciphertext with one bit changed that matters."""
    raw = bytearray(base64.b64decode(sealed))
    raw[-1] ^= 1
    return base64.b64encode(raw).decode()


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(count))
