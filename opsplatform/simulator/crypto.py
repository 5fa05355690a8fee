"""How DingTalk signs and encrypts, written on its own: sharing code with the receiver would hide a mistake of both."""

import struct
from base64 import b64decode, b64encode
from hashlib import sha1

from Crypto.Cipher import AES
from Crypto.Cipher._mode_cbc import CbcMode
from Crypto.Util.Padding import pad

LENGTH_AT = 16
TEXT_AT = 20
BLOCK = 32


class WrongAnswer(Exception):
    """A sealed text that is not what DingTalk would accept; the text says why."""


class Seal:
    """Seals and opens texts for one owner key with the secrets of one subscription."""

    def __init__(self, token: str, aes_key: str, owner_key: str) -> None:
        self.token = token
        self.owner_key = owner_key
        self._key = b64decode(f"{aes_key}=".encode())

    def close(self, text: str, noise: bytes) -> str:
        """The text as DingTalk puts it into `encrypt`; `noise` is 16 random bytes."""
        raw = text.encode("utf-8")
        whole = b"".join((noise, struct.pack(">I", len(raw)), raw, self.owner_key.encode("utf-8")))
        return b64encode(self._cipher().encrypt(pad(whole, BLOCK, style="pkcs7"))).decode("ascii")

    def open(self, sealed: str) -> str:
        """The text inside `sealed`; WrongAnswer when it is damaged or another owner's."""
        try:
            whole = self._cipher().decrypt(b64decode(sealed.encode("ascii")))
            whole = whole[: len(whole) - whole[-1]]
            (size,) = struct.unpack_from(">I", whole, LENGTH_AT)
            text, owner = whole[TEXT_AT : TEXT_AT + size], whole[TEXT_AT + size :]
            if owner != self.owner_key.encode("utf-8"):
                raise WrongAnswer("the answer carries another owner key than the event")
            return text.decode("utf-8")
        except (ValueError, IndexError, struct.error) as error:
            raise WrongAnswer("the answer cannot be decrypted") from error

    def signature(self, timestamp: str, nonce: str, sealed: str) -> str:
        """The signature over a sealed text."""
        joined = "".join(sorted((self.token, timestamp, nonce, sealed)))
        return sha1(joined.encode("utf-8"), usedforsecurity=False).hexdigest()

    def check(self, answer: dict[str, object]) -> None:
        """Refuse an answer that is not the encrypted `success`."""
        fields = [answer.get(name) for name in ("msg_signature", "timeStamp", "nonce", "encrypt")]
        signature, timestamp, nonce, sealed = (field if isinstance(field, str) else "" for field in fields)
        if not (signature and timestamp and nonce and sealed):
            raise WrongAnswer("the answer lacks msg_signature, timeStamp, nonce or encrypt")
        if signature != self.signature(timestamp, nonce, sealed):
            raise WrongAnswer("the signature of the answer does not match")
        if (text := self.open(sealed)) != "success":
            raise WrongAnswer(f"the answer says {text!r} where DingTalk wants success")

    def _cipher(self) -> CbcMode:
        return AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
