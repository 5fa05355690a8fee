"""`/dingtalk/callback`: the encrypted events DingTalk pushes."""

import logging
from contextlib import suppress

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import RequestEntityTooLarge

from opsplatform.adapters.dingtalk_crypto import BadEvent, Event, EventCrypto, normalise, read_query
from opsplatform.approvals import inbox
from opsplatform.core.db import transaction
from opsplatform.core.metrics import CALLBACK_SECONDS, CALLBACKS
from opsplatform.core.settings import settings

log = logging.getLogger(__name__)

blueprint = Blueprint("dingtalk", __name__)
HANDSHAKES = frozenset({"check_url", "check_create_suite_url", "check_update_suite_url"})
REFUSAL = {"error": "The event was not accepted."}


@blueprint.post("/dingtalk/callback")
def callback() -> tuple[Response, int]:
    """Check, decrypt, store, answer. Every refusal reads the same: a sender learns nothing from it."""
    with CALLBACK_SECONDS.time():
        return _answer()


def _answer() -> tuple[Response, int]:
    crypto: EventCrypto | None = current_app.extensions["event_crypto"]
    if crypto is None:
        log.error("an event was pushed, but DINGTALK_TOKEN, DINGTALK_AES_KEY and an owner key are not set")
        return jsonify(REFUSAL), 400
    try:
        event, owner_key = _read(crypto)
    except BadEvent as error:
        CALLBACKS.labels("refused").inc()
        log.warning("a pushed event was refused: %s", error.detail)
        return jsonify(REFUSAL), 400
    if event.event_type not in HANDSHAKES:
        with suppress(IntegrityError), transaction():  # pushed twice at once: the other one has stored it
            inbox.receive(event)
    CALLBACKS.labels("accepted").inc()
    return jsonify(crypto.answer(owner_key)), 200


def register(app: Flask) -> None:
    """Add the route, with the keys of this installation."""
    config = settings()
    token, aes_key = config.dingtalk_token.get_secret_value(), config.dingtalk_aes_key.get_secret_value()
    ready = token and aes_key and config.dingtalk_owner_keys
    app.extensions["event_crypto"] = EventCrypto(token, aes_key, config.dingtalk_owner_keys) if ready else None
    app.register_blueprint(blueprint)


def _read(crypto: EventCrypto) -> tuple[Event, str]:
    signature, timestamp, nonce = read_query(request.args.to_dict(flat=False))
    text, owner_key = crypto.open(signature=signature, timestamp=timestamp, nonce=nonce, body=_body())
    return normalise(text), owner_key


def _body() -> bytes:
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise BadEvent("the body is larger than any request may be") from error
