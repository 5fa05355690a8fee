#!/usr/bin/env python
"""The admin's commands. `python manage.py --help` lists them; each has its own `--help`.

Commands import what they need when they run: `serve` only watches other processes and stays small.
"""

import importlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsplatform.core.errors import OpsError

if TYPE_CHECKING:
    from flask import Flask

HERE = Path(__file__).parent
COUNTING = ("run", "worker", "scheduler")
LAZY_GROUPS = {
    "db": ("flask_migrate.cli", "db", "Database migrations: upgrade, downgrade, current, …"),
    "module": ("opsplatform.catalog.cli", "module_cli", "Look at the modules of the catalogue."),
}


class Admin(click.Group):
    """The commands of this file, and groups of commands that stand elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, those of other packages too."""
        return sorted([*super().list_commands(ctx), *LAZY_GROUPS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported when it is asked for."""
        if cmd_name not in LAZY_GROUPS:
            return super().get_command(ctx, cmd_name)
        module, name, text = LAZY_GROUPS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        command.help = text
        return command


def create_app() -> "Flask":
    """The application, with the means to migrate its database."""
    from flask_migrate import Migrate  # noqa: PLC0415

    from opsplatform.app import create_app as create  # noqa: PLC0415
    from opsplatform.core.db import db  # noqa: PLC0415

    app = create()
    Migrate(app, db, directory=str(HERE / "migrations"))
    return app


@click.group(cls=Admin)
def cli() -> None:
    """Commands of opsplatform."""


@cli.command()
def run() -> None:
    """Serve the web part (gunicorn)."""
    from config import load_config  # noqa: PLC0415

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
    click.echo(f"opsplatform: {config.own_url}")
    os.chdir(HERE)
    os.execv(sys.executable, command)  # noqa: S606 - this very interpreter, our own arguments


@cli.command()
@click.option("--threads", type=click.IntRange(1, 256), help="How many jobs at once; OPS_WORKER_THREADS otherwise.")
@click.option("--scheduler", is_flag=True, help="Enqueue periodic work as well, as `scheduler` does.")
def worker(threads: int | None, *, scheduler: bool) -> None:
    """Run jobs: events, plans, applies, notices."""
    from opsplatform.app import SCHEDULE  # noqa: PLC0415
    from opsplatform.app import create_app as create  # noqa: PLC0415
    from opsplatform.core.crew import share_one_heap  # noqa: PLC0415
    from opsplatform.core.schedule import run_scheduler  # noqa: PLC0415

    share_one_heap()
    app = create()
    if scheduler:
        threading.Thread(target=run_scheduler, args=(app, SCHEDULE, threading.Event()), daemon=True).start()
    app.extensions["queue"].work(threads or app.extensions["settings"].ops_worker_threads)


@cli.command()
def scheduler() -> None:
    """Enqueue periodic work; several schedulers do no harm."""
    from opsplatform.adapters.fleet import stopped_by_signal  # noqa: PLC0415
    from opsplatform.app import SCHEDULE  # noqa: PLC0415
    from opsplatform.app import create_app as create  # noqa: PLC0415
    from opsplatform.core.schedule import run_scheduler  # noqa: PLC0415

    stop = stopped_by_signal()
    run_scheduler(create(), SCHEDULE, stop)


@cli.command()
def serve() -> None:
    """Serve web, worker and scheduler in one terminal; Ctrl-C stops all."""
    from opsplatform.adapters.fleet import Fleet, stopped_by_signal  # noqa: PLC0415

    stop = stopped_by_signal()
    fleet = Fleet(HERE)
    for name, *options in (("run",), ("worker", "--scheduler")):
        fleet.start(name, [sys.executable, "manage.py", name, *options])
    sys.exit(fleet.watch(stop))


@cli.command("create-admin")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
def create_admin(username: str, *, password_stdin: bool) -> None:
    """Create an administrator."""
    from opsplatform.accounts import service as accounts  # noqa: PLC0415
    from opsplatform.core.db import transaction  # noqa: PLC0415

    asked = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    password = asked if asked is not None else click.prompt("Password", hide_input=True, confirmation_prompt=True)
    with create_app().app_context(), transaction():
        accounts.create_admin(username, password)
    click.echo(f"{username} may do everything now.")


@cli.command()
def doctor() -> None:
    """Look at settings, database, queue, Terraform, modules and DingTalk, and say what to do."""
    from opsplatform.doctor import examine  # noqa: PLC0415

    with create_app().app_context():
        findings = examine()
    for finding in findings:
        sign = {True: "ok  ", False: "FAIL", None: "-   "}[finding.ok]
        click.echo(f"{sign} {finding.part}: {finding.text}")
    if any(finding.ok is False for finding in findings):
        raise OpsError("Something is wrong; mend the first line that says FAIL and look again.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write the whole database to FILE while everything goes on. The keys of the settings are not in it."""
    from opsplatform.backup import backup as make  # noqa: PLC0415

    with create_app().app_context():
        manifest = make(file)
    rows = sum(member.rows for member in manifest.tables)
    click.echo(
        f"{file}: {len(manifest.tables)} tables, {rows} rows as they were at {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    click.echo(f"Keep SECRET_KEY and the keys of SEAL_KEYS ({', '.join(manifest.keys) or 'none used yet'}) elsewhere.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Delete what the database holds.")
@click.option("--moved", is_flag=True, help="Nothing was done since the backup; let plans that wait stay good.")
def restore(file: Path, *, force: bool, moved: bool) -> None:
    """Fill an empty database, of any kind, from the backup FILE. Stop web, workers and scheduler first."""
    from opsplatform.backup import restore as bring_back  # noqa: PLC0415

    with create_app().app_context():
        restored = bring_back(file, force=force, moved=moved)
    click.echo(
        f"Restored as it was at {restored.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC; the last run is {restored.last_run}."
    )
    for run_id, status in restored.under_way:
        click.echo(f"under way then: run {run_id}, {status}")


@cli.group()
def seal() -> None:
    """Look after the keys that seal what must not lie in clear."""


@seal.command()
@click.option("--check", is_flag=True, help="Change nothing; say how many values each key still seals.")
def rotate(*, check: bool) -> None:
    """Seal every value again with the first key of SEAL_KEYS, while everything goes on."""
    from opsplatform import rotation  # noqa: PLC0415

    with create_app().app_context():
        for progress in () if check else rotation.rotate():
            said = f"{progress.table}: {progress.sealed} sealed again, {progress.kept} changed meanwhile"
            click.echo(said + (f", {progress.broken} DO NOT OPEN" if progress.broken else ""))
        for table, keys in rotation.census().items():
            click.echo(f"{table}: " + (", ".join(f"{count} with {key}" for key, count in keys.items()) or "empty"))
        if not check:
            rotation.require_done()


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5001, show_default=True)
@click.option("--callback-url", help="Where events go; the platform of these settings otherwise.")
def simulator(port: int, callback_url: str | None) -> None:
    """Serve a local DingTalk for trying the platform and for front-end developers."""
    from config import load_config  # noqa: PLC0415
    from opsplatform.core.logs import set_up_logs  # noqa: PLC0415
    from opsplatform.simulator.server import serve as serve_simulator  # noqa: PLC0415

    config = load_config()
    set_up_logs(config.ops_log_level, config.ops_log_format)
    click.echo(f"local DingTalk: http://127.0.0.1:{port} (Ctrl-C stops)")
    serve_simulator(port=port, callback_url=callback_url or f"{config.own_url}/dingtalk/callback")


@cli.command("api-docs")
@click.option("--check", is_flag=True, help="Only say whether docs/api.md is fresh.")
def api_docs(*, check: bool) -> None:
    """Write docs/api.md from the methods."""
    from opsplatform import apidocs  # noqa: PLC0415

    (apidocs.check if check else apidocs.write)()


@cli.command()
@click.option("--keep", is_flag=True, help="Go on serving afterwards and print address and login.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the platform listens; any free port otherwise.")
def demo(*, keep: bool, port: int | None) -> None:
    """Play the main job once, on a local DingTalk: form, plan, agreement, resource, record."""
    from opsplatform.demo import run as run_demo  # noqa: PLC0415

    run_demo(keep=keep, port=port)


def main() -> None:
    """Run a command."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        if command in COUNTING and "--help" not in sys.argv:
            _share_metrics()
        cli.main(prog_name="manage.py", obj=_script_info() if command in LAZY_GROUPS else None)
    except OpsError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except _database_error() as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        click.echo(f"The database cannot be used ({said}); python manage.py doctor says what to do.", err=True)
        sys.exit(1)


def _database_error() -> type[Exception]:
    """What a database fails with; asked only when something failed, so that nothing else waits for the import."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    return SQLAlchemyError


def _share_metrics() -> None:
    """Count together with the other processes of this host."""
    from config import load_config, share_metrics  # noqa: PLC0415

    share_metrics(load_config().data_dir)


def _script_info() -> object:
    """What Flask's own commands find the application by."""
    from flask.cli import ScriptInfo  # noqa: PLC0415

    return ScriptInfo(create_app=create_app)


if __name__ == "__main__":
    main()
