"""Seal what must not lie in clear: AES-256-GCM with a key id, a random nonce and the row as additional data.

A sealed value reads `0x01 | length of key id | key id | nonce (12) | tag (16) | ciphertext`. `context` names the
row and column it belongs to, so that a value copied elsewhere does not open. Rotation: put a new key first; old
values open with the old key until they are sealed again (`manage.py seal rotate`). A module that keeps sealed values
declares their column as `SEALED`, with what `context` is made of; `app.py` gathers these.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Crypto.Cipher import AES
from Crypto.Random import get_random_bytes
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from opsplatform.core.settings import settings

VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16


class SealError(Exception):
    """A sealed value does not open: wrong key, wrong place, or changed."""


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values; `context` makes a value's context out of what `place` selects for its row."""

    column: InstrumentedAttribute[bytes]
    place: Select[*tuple[Any, ...]]
    context: Callable[..., str]


def seal(plain: bytes, context: str) -> bytes:
    """Compress and encrypt `plain` for the place that `context` names."""
    return seal_with(settings().sealing_keys, plain, context)


def open_sealed(sealed: bytes, context: str) -> bytes:
    """What was sealed for this very place, or SealError."""
    return open_with(settings().sealing_keys, sealed, context)


def seal_with(keys: dict[str, bytes], plain: bytes, context: str) -> bytes:
    """Seal with the first of `keys`."""
    name, key = next(iter(keys.items()))
    nonce = get_random_bytes(NONCE_BYTES)
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(context.encode())
    ciphertext, tag = cipher.encrypt_and_digest(zlib.compress(plain, 1))
    return beginning(name) + nonce + tag + ciphertext


def open_with(keys: dict[str, bytes], sealed: bytes, context: str) -> bytes:
    """Open with the key the value names, or raise SealError."""
    name = key_id(sealed)
    start = 2 + sealed[1]
    key = keys.get(name)
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


def key_id(sealed: bytes) -> str:
    """The id of the key a value is sealed with; its beginning is enough."""
    if len(sealed) < 2 or sealed[0] != VERSION:  # noqa: PLR2004
        raise SealError("not a sealed value")
    return sealed[2 : 2 + sealed[1]].decode(errors="replace")


def beginning(name: str) -> bytes:
    """How every value begins that is sealed with the key of this id."""
    encoded = name.encode()
    return bytes([VERSION, len(encoded)]) + encoded
