"""`manage.py module …`: look at the catalogue from a terminal."""

from pathlib import Path

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from opsplatform.catalog import service
from opsplatform.catalog.modules import Module, read_module
from opsplatform.catalog.trees import TreeError, read_tree
from opsplatform.core.settings import settings

module_cli = AppGroup("module", help="The modules of the catalogue.")


@module_cli.command("list")
def list_modules() -> None:
    """List every module with its version and its DingTalk template."""
    try:
        found = service.list_modules()
    except SQLAlchemyError as error:
        raise click.ClickException(
            "The database has no tables yet or does not answer: run manage.py db upgrade."
        ) from error
    for module in found:
        code = module["form"]["process_code"] if module["form"] else "-"
        state = f"cannot be used: {module['error']}" if module["error"] else module["title"]
        click.echo(f"{module['name']:<24} {(module['version'] or '-')[:12]:<12}  {code:<24} {state}")


@module_cli.command("check")
@click.argument("module")
def check_module(module: str) -> None:
    """Check one module, by name or by folder: does it parse, is it allowed, does its offer fit."""
    folder = Path(module) if Path(module).is_dir() else settings().terraform_modules_dir / module
    if not folder.is_dir():
        raise click.ClickException(f"There is no module and no folder {module}.")
    try:
        found = read_module(folder.resolve().name, read_tree(folder))
    except (TreeError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if found.error is not None:
        raise click.ClickException(found.error)
    _describe(found)


def _describe(module: Module) -> None:
    click.echo(f"{module.name} {module.version}: can be offered")
    for name, schema in module.inputs["properties"].items():
        need = "required" if name in module.inputs["required"] else "optional"
        secret = ", secret" if schema.get("writeOnly") else ""
        click.echo(f"  input  {name} ({schema.get('type', 'any')}, {need}{secret}): {schema.get('description', '')}")
    for name, output in module.outputs.items():
        click.echo(f"  output {name}: {output['description']}")
