"""THE MAP: which methods, views, tasks and periodic work there are. The only module that imports all domains."""

import logging
from collections.abc import Callable
from functools import partial

from flask import Flask, Response
from sqlalchemy.exc import OperationalError

from config import Config, load_config
from opsplatform.accounts import rpc as accounts_rpc
from opsplatform.accounts import sessions
from opsplatform.accounts import tasks as accounts_tasks
from opsplatform.adapters.dingtalk import DingTalk
from opsplatform.adapters.registry import Adapters
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.adapters.terraform import Terraform, find_terraform
from opsplatform.approvals import inbox
from opsplatform.approvals import rpc as approvals_rpc
from opsplatform.approvals import tasks as approvals_tasks
from opsplatform.approvals import views as approvals_views
from opsplatform.catalog import rpc as catalog_rpc
from opsplatform.catalog import tasks as catalog_tasks
from opsplatform.core import health, logs, metrics, rpc_answers
from opsplatform.core.db import init_db
from opsplatform.core.queue import Queue, Task
from opsplatform.core.rpc import Method, init_rpc
from opsplatform.core.schedule import Periodic
from opsplatform.core.schemas import ma
from opsplatform.core.sealing import SealedColumn
from opsplatform.inventory import rpc as inventory_rpc
from opsplatform.notifications import service as notifications
from opsplatform.notifications import tasks as notifications_tasks
from opsplatform.runs import files as runs_files
from opsplatform.runs import queries as runs_queries
from opsplatform.runs import rpc as runs_rpc
from opsplatform.runs import tasks as runs_tasks
from opsplatform.states import rpc as states_rpc
from opsplatform.states import service as states
from opsplatform.states import views as states_views

log = logging.getLogger(__name__)

METHODS: tuple[Method, ...] = (
    *accounts_rpc.METHODS,
    *catalog_rpc.METHODS,
    *approvals_rpc.METHODS,
    *runs_rpc.METHODS,
    *states_rpc.METHODS,
    *inventory_rpc.METHODS,
)

# What stands in the database, told by /metrics.
BACKLOGS = (
    metrics.Backlog("opsplatform_runs", "Runs that have not ended, by status.", runs_queries.count_open),
    metrics.Backlog("opsplatform_inbox_events", "Events that wait to be handled.", inbox.count_waiting),
    metrics.Backlog("opsplatform_notices", "Notices that are not sent, by status.", notifications.count_unsent),
)

# Every view says who may call it: `public` ones carry their own proof (signature, run credential) or tell nothing.
VIEWS: tuple[Callable[[Flask], None], ...] = (
    health.register,
    partial(metrics.register, backlogs=BACKLOGS),
    approvals_views.register,
    states_views.register,
)

TASKS: dict[str, Task] = {
    "accounts.forget_expired": accounts_tasks.forget_expired,
    "approvals.handle_event": approvals_tasks.handle_event,
    "approvals.sweep": approvals_tasks.sweep,
    **catalog_tasks.TASKS,
    "notifications.send": notifications_tasks.send,
    "notifications.sweep": notifications_tasks.sweep,
    "runs.expire": runs_tasks.expire,
    "runs.settle": runs_tasks.settle,
    "runs.sweep": runs_tasks.sweep,
    "runs.work": runs_tasks.work,
}

# Every column of sealed values; key rotation goes through them.
SEALED: tuple[SealedColumn, ...] = (rpc_answers.SEALED, runs_files.SEALED, states.SEALED)

SCHEDULE = [
    Periodic("accounts.forget_expired", seconds=3600),
    Periodic("approvals.sweep", seconds=2),
    Periodic("catalog.read_modules", seconds=30),
    Periodic("notifications.sweep", seconds=2),
    Periodic("runs.expire", seconds=3600),
    Periodic("runs.sweep", seconds=2),
]

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(config: Config | None = None, adapters: Adapters | None = None) -> Flask:
    """The application, on the settings of the environment unless others are given."""
    config = config or load_config()
    logs.set_up_logs(config.ops_log_level, config.ops_log_format)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = Flask("opsplatform", static_folder=None)
    app.extensions["settings"] = config
    app.extensions["adapters"] = adapters or real_adapters(config)
    init_db(app, config.database)
    ma.init_app(app)
    Queue(app, TASKS, broker_url=config.broker_url.get_secret_value(), folder=config.data_dir)
    init_rpc(app, METHODS, authenticate=sessions.authenticate)
    with app.app_context():
        for register in VIEWS:
            register(app)
    app.after_request(_add_headers)
    app.register_error_handler(OperationalError, _database_is_away)
    return app


def real_adapters(config: Config) -> Adapters:
    """The outside systems the settings name."""
    return Adapters(
        dingtalk=DingTalk(
            oapi_url=config.dingtalk_oapi_url,
            api_url=config.dingtalk_api_url,
            app_key=config.dingtalk_app_key,
            app_secret=config.dingtalk_app_secret.get_secret_value(),
            agent_id=config.dingtalk_agent_id,
        ),
        terraform=lambda: Terraform(
            find_terraform(config.terraform_bin, config.data_dir),
            plugin_mirror=config.terraform_plugin_mirror,
            sandbox=Sandbox(config.ops_sandbox),
        ),
    )


def _database_is_away(error: OperationalError) -> tuple[dict[str, str], int]:
    """Say so plainly; whoever pushed an event comes again."""
    log.error("the database does not answer", exc_info=error)
    return {"error": "The database does not answer; try again."}, 503


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
