"""Logs: a lower-case sentence, fields in `extra`, and the ids of what is being worked on in every record."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

SECRET_PARAM = re.compile(
    r"((?:access_token|token|bk_token|bk_ticket|ticket|code|signature|appsecret)=)[^&\s\"']+", re.IGNORECASE
)
STANDARD_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "ids"}

_ids: ContextVar[dict[str, object]] = ContextVar("ids")


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Put `ids` (request, event, run) on every record of the block."""
    marker = _ids.set({**_ids.get({}), **ids})
    try:
        yield
    finally:
        _ids.reset(marker)


class ContextFilter(logging.Filter):
    """Adds the ids of `about` and masks tokens in addresses, access log included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; it is always kept."""
        for name, value in _ids.get({}).items():
            setattr(record, name, value)
        text = record.getMessage()
        masked = SECRET_PARAM.sub(r"\1***", text)
        if masked != text:
            record.msg, record.args = masked, ()
        return True


class TextFormatter(logging.Formatter):
    """One line for people: time, level, sentence, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Append `name=value` of every extra field."""
        fields = {k: v for k, v in record.__dict__.items() if k not in STANDARD_FIELDS and not k.startswith("_")}
        text = super().format(record)
        return text + "".join(f" {name}={value}" for name, value in fields.items()) if fields else text


def set_up_logs(level: str, style: str) -> None:
    """Send every library's records to standard error, once, in one style."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", timestamp=True))
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(ContextFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("huey", "huey.consumer", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
