"""Seal what must not lie in clear: AES-256-GCM with a key id, a random nonce and the row as additional data.

A sealed value reads `0x01 | length of key id | key id | nonce (12) | tag (16) | ciphertext`. `context` names the
row and column it belongs to, so that a value copied elsewhere does not open. Rotation: put a new key first; old
values open with the old key until they are sealed again.
"""

import zlib

from Crypto.Cipher import AES
from Crypto.Random import get_random_bytes

from opsplatform.core.settings import settings

VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16


class SealError(Exception):
    """A sealed value does not open: wrong key, wrong place, or changed."""


def seal(plain: bytes, context: str) -> bytes:
    """Compress and encrypt `plain` for the place that `context` names."""
    return seal_with(settings().sealing_keys, plain, context)


def open_sealed(sealed: bytes, context: str) -> bytes:
    """What was sealed for this very place, or SealError."""
    return open_with(settings().sealing_keys, sealed, context)


def seal_with(keys: dict[str, bytes], plain: bytes, context: str) -> bytes:
    """Seal with the first of `keys`."""
    key_id, key = next(iter(keys.items()))
    nonce = get_random_bytes(NONCE_BYTES)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(context.encode())
    ciphertext, tag = cipher.encrypt_and_digest(zlib.compress(plain, 1))
    name = key_id.encode()
    return bytes([VERSION, len(name)]) + name + nonce + tag + ciphertext


def open_with(keys: dict[str, bytes], sealed: bytes, context: str) -> bytes:
    """Open with the key the value names, or raise SealError."""
    if len(sealed) < 2 or sealed[0] != VERSION:  # noqa: PLR2004
        raise SealError("not a sealed value")
    start = 2 + sealed[1]
    key = keys.get(sealed[2:start].decode("ascii", "replace"))
    if key is None:
        raise SealError("sealed with a key that SEAL_KEYS does not hold")
    nonce = sealed[start : start + NONCE_BYTES]
    tag = sealed[start + NONCE_BYTES : start + NONCE_BYTES + TAG_BYTES]
    try:
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
        cipher.update(context.encode())
        return zlib.decompress(cipher.decrypt_and_verify(sealed[start + NONCE_BYTES + TAG_BYTES :], tag))
    except (ValueError, zlib.error) as error:
        raise SealError("the sealed value was changed or belongs elsewhere") from error
