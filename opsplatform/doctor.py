"""`manage.py doctor`: look at everything an installation needs, and say what to do about what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from opsplatform.adapters.registry import adapters
from opsplatform.catalog import service as catalog
from opsplatform.core import health
from opsplatform.core.db import db, reading
from opsplatform.core.errors import OpsError
from opsplatform.core.queue import Queue
from opsplatform.core.settings import settings


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is None for what is not needed or not set up."""

    part: str
    ok: bool | None
    text: str


def examine() -> list[Finding]:
    """Every finding, in the order in which they should be mended."""
    checks: tuple[tuple[str, Callable[[], tuple[bool | None, str]]], ...] = (
        ("settings", _settings),
        ("database", _database),
        ("migrations", _migrations),
        ("queue", _queue),
        ("terraform", _terraform),
        ("sandbox", _sandbox),
        ("modules", _modules),
        ("dingtalk events", _events),
        ("dingtalk", _dingtalk),
    )
    return [Finding(part, *check()) for part, check in checks]


def _settings() -> tuple[bool, str]:
    config = settings()
    return True, f"environment {config.ops_env}, data in {config.data_dir}, own address {config.own_url}"


def _database() -> tuple[bool, str]:
    trouble = health.database_trouble()
    return trouble is None, trouble or f"{db.engine.dialect.name} answers"


def _migrations() -> tuple[bool, str]:
    trouble = health.migrations_trouble()
    return trouble is None, trouble or f"at revision {health.revision_in_code()}"


def _queue() -> tuple[bool, str]:
    queue: Queue = current_app.extensions["queue"]
    trouble = queue.trouble()
    kind = "redis" if settings().broker_url.get_secret_value() else "embedded"
    return trouble is None, trouble or f"{kind} queue answers"


def _terraform() -> tuple[bool, str]:
    try:
        return True, f"{adapters().terraform.binary}, version {adapters().terraform.version()}"
    except OpsError as error:
        return False, error.message


def _sandbox() -> tuple[bool | None, str]:
    try:
        ok, text = adapters().terraform.sandbox.report()
    except OpsError:
        return None, "can be looked at once there is a Terraform"
    if ok is None and settings().ops_env == "production":
        return False, f"{text}; in production set OPS_SANDBOX=required"
    return ok, text


def _modules() -> tuple[bool, str]:
    if health.database_trouble() or health.migrations_trouble():
        return False, "can be looked at once the database is ready"
    with reading():
        modules = catalog.list_modules()
    broken = [f"{module['name']}: {module['error']}" for module in modules if module["error"]]
    if broken:
        return False, "; ".join(broken)
    return bool(modules), ", ".join(module["name"] for module in modules) or "none; set TERRAFORM_MODULES_DIR"


def _events() -> tuple[bool | None, str]:
    if current_app.extensions["event_crypto"] is not None:
        return True, f"pushed to {settings().own_url}/dingtalk/callback are accepted"
    return None, "not accepted: set DINGTALK_TOKEN, DINGTALK_AES_KEY and DINGTALK_APP_KEY or DINGTALK_CORP_ID"


def _dingtalk() -> tuple[bool | None, str]:
    if not settings().dingtalk_app_key:
        return None, "not set up: set DINGTALK_APP_KEY, DINGTALK_APP_SECRET and DINGTALK_AGENT_ID"
    try:
        adapters().dingtalk.check()
    except OpsError as error:
        return False, error.message
    return True, f"{settings().dingtalk_api_url} accepts our app key and secret"
