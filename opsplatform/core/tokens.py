"""Signed tokens with a life, by itsdangerous.

Derivation and digest are set explicitly: the library's defaults are `django-concat` and SHA-1.
"""

import hashlib
from typing import Any

from flask import current_app
from itsdangerous import BadData, URLSafeTimedSerializer

from opsplatform.core.settings import settings

LONGEST_TOKEN = 1024


def sign(payload: dict[str, Any], purpose: str) -> str:
    """A token that carries `payload`, readable by anybody, made by nobody else."""
    return str(_serializer(purpose).dumps(payload))


def read(token: object, purpose: str, *, max_age: int) -> dict[str, Any] | None:
    """The payload of a token that is ours and younger than `max_age` seconds, else None."""
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        return None
    try:
        payload = _serializer(purpose).loads(token, max_age=max_age)
    except (BadData, TypeError, UnicodeError):
        return None
    return payload if isinstance(payload, dict) else None


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    """One serializer per application and purpose: building it costs as much as reading a token."""
    built: dict[str, URLSafeTimedSerializer] = current_app.extensions.setdefault("serializers", {})
    if purpose not in built:
        built[purpose] = URLSafeTimedSerializer(
            settings().signing_keys,
            salt=purpose,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
    return built[purpose]
