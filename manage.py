#!/usr/bin/env python
"""The admin's commands. `python manage.py --help` lists them; each has its own `--help`."""

import os
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import FlaskGroup, with_appcontext

from config import ConfigError, load_config
from opsplatform.core.errors import OpsError

HERE = Path(__file__).parent


def _create_app() -> object:
    from flask_migrate import Migrate  # noqa: PLC0415 - only commands need it

    from opsplatform.app import create_app  # noqa: PLC0415 - heavy; `serve` does without
    from opsplatform.core.db import db  # noqa: PLC0415

    app = create_app(load_config())
    Migrate(app, db, directory=str(HERE / "migrations"), render_as_batch=True, compare_type=True)
    return app


class Admin(FlaskGroup):
    """Errors a person can mend end with one sentence and a code, not with a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's signature
        """Run a command."""
        try:
            return super().main(*args, **kwargs)
        except (ConfigError, OpsError) as error:
            click.echo(str(error), err=True)
            sys.exit(1)


@click.group(cls=Admin, create_app=_create_app, add_default_commands=False, load_dotenv=False)
def cli() -> None:
    """Commands of opsplatform."""


@cli.command()
def run() -> None:
    """Serve the web part (gunicorn)."""
    config = load_config()
    command = [
        sys.executable, "-m", "gunicorn", "opsplatform.wsgi:app",
        "--bind", f"{config.host}:{config.port}",
        "--worker-class", "gthread",
        "--workers", str(config.ops_web_workers),
        "--threads", str(config.ops_web_threads),
        "--no-control-socket",
        "--keep-alive", "75",
        "--log-level", "warning",
    ]  # fmt: skip
    os.chdir(HERE)
    os.execv(sys.executable, command)  # noqa: S606 - this very interpreter, our own arguments


@cli.command()
@click.option("--threads", type=click.IntRange(1, 256), help="How many jobs at once; OPS_WORKER_THREADS otherwise.")
@with_appcontext
def worker(threads: int | None) -> None:
    """Run jobs: events, plans, applies, notices."""
    from flask import current_app  # noqa: PLC0415

    from opsplatform.core.settings import settings  # noqa: PLC0415

    current_app.extensions["queue"].work(threads or settings().ops_worker_threads)


@cli.command()
@with_appcontext
def scheduler() -> None:
    """Enqueue periodic work; several schedulers do no harm."""
    from flask import current_app  # noqa: PLC0415

    from opsplatform.adapters.fleet import stopped_by_signal  # noqa: PLC0415
    from opsplatform.app import SCHEDULE  # noqa: PLC0415
    from opsplatform.core.queue import run_scheduler  # noqa: PLC0415

    run_scheduler(current_app._get_current_object(), SCHEDULE, stopped_by_signal())  # type: ignore[attr-defined]  # noqa: SLF001


@cli.command("create-admin")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
@with_appcontext
def create_admin(username: str, *, password_stdin: bool) -> None:
    """Create an administrator."""
    from opsplatform.accounts import service as accounts  # noqa: PLC0415
    from opsplatform.core.db import transaction  # noqa: PLC0415

    asked = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    password = asked if asked is not None else click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with transaction():
        accounts.create_admin(username, password)
    click.echo(f"{username} may do everything now.")


@cli.command()
@with_appcontext
def doctor() -> None:
    """Look at settings, database, queue, Terraform, modules and DingTalk, and say what to do."""
    from opsplatform.doctor import examine  # noqa: PLC0415

    findings = examine()
    for finding in findings:
        sign = {True: "ok  ", False: "FAIL", None: "-   "}[finding.ok]
        click.echo(f"{sign} {finding.part}: {finding.text}")
    if any(finding.ok is False for finding in findings):
        raise OpsError("Something is wrong; mend the first line that says FAIL and look again.")


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5001, show_default=True)
@click.option("--callback-url", default="", help="Where events go; else subscribe with the /sim/subscribe call.")
def simulator(port: int, callback_url: str) -> None:
    """Serve a local DingTalk for trying the platform and for front-end developers."""
    from opsplatform.core.logs import set_up_logs  # noqa: PLC0415
    from opsplatform.simulator.server import serve as serve_simulator  # noqa: PLC0415

    config = load_config()
    set_up_logs(config.ops_log_level, config.ops_log_format)
    click.echo(f"local DingTalk: http://127.0.0.1:{port} (Ctrl-C stops)")
    serve_simulator(port=port, callback_url=callback_url or f"{config.own_url}/dingtalk/callback")


@cli.command()
@click.option("--keep", is_flag=True, help="Go on serving afterwards and print address and login.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the platform listens; any free port otherwise.")
def demo(*, keep: bool, port: int | None) -> None:
    """Play the main job once, on a local DingTalk: form, plan, agreement, resource, record."""
    from opsplatform.demo import run as run_demo  # noqa: PLC0415

    run_demo(keep=keep, port=port)


@cli.command()
def serve() -> None:
    """Serve web, worker and scheduler in one terminal; Ctrl-C stops all."""
    from opsplatform.adapters.fleet import Fleet, stopped_by_signal  # noqa: PLC0415

    config = load_config()
    fleet = Fleet(HERE)
    for name in ("run", "worker", "scheduler"):
        fleet.start(name, [sys.executable, "manage.py", name])
    click.echo(f"opsplatform: {config.own_url} (Ctrl-C stops)")
    sys.exit(fleet.watch(stopped_by_signal()))


cli.params = []  # the application and its settings are found without options

if __name__ == "__main__":
    cli()
