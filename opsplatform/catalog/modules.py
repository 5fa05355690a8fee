"""Modules as the platform sees them: read from their folder once per version, kept in memory and in the database."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from opsplatform.catalog import gate, hcl, introspect
from opsplatform.catalog.introspect import DIALECT, Variable
from opsplatform.catalog.models import ModuleVersion
from opsplatform.catalog.offers import FILE_NAME, Offer, OfferError, read_offer
from opsplatform.catalog.trees import MODULE_NAME, Signature, Tree, TreeError, folder_of, folders, read_tree, signature
from opsplatform.catalog.types import Schema
from opsplatform.core.db import db
from opsplatform.core.settings import settings

# Raise it when reading or the gate changes its mind: rows of older editions are then read again from disk.
READER = 2
# The name under which a form chooses the environment, beside the inputs.
ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Module:
    """One module; with an `error` it is shown, and nothing else can be done with it."""

    name: str
    version: str | None = None
    offer: Offer | None = None
    inputs: Schema = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None


class _Refused(Exception):
    """A module cannot be used."""


_known: dict[Path, tuple[Signature, Module]] = {}
_reading = threading.Lock()


def all_modules() -> list[Module]:
    """Every module, by name."""
    return [_of(settings().terraform_modules_dir / name) for name in folders(settings().terraform_modules_dir)]


def find(name: str) -> Module | None:
    """The module as its folder is now, or None when there is no such folder."""
    folder = folder_of(settings().terraform_modules_dir, name)
    return None if folder is None else _of(folder)


def tree_of(name: str) -> Tree | None:
    """The files of a module as they are now, or None when there is no such folder."""
    folder = folder_of(settings().terraform_modules_dir, name)
    return None if folder is None else read_tree(folder)


def _of(folder: Path) -> Module:
    """From memory while no file changed, else from the database, else from the files."""
    try:
        seen = signature(folder)
        known = _known.get(folder)
        if known is not None and known[0] == seen:
            return known[1]
        tree = read_tree(folder)
        module = _remembered(folder.name, tree.version) or read_module(folder.name, tree)
    except (TreeError, OSError) as error:
        return Module(folder.name, error=str(error))
    _known[folder] = (seen, module)
    return module


def _remembered(name: str, version: str) -> Module | None:
    row = _row(name, version)
    if row is None or row.reader != READER:
        return None
    return Module(name, version, Offer.model_validate(row.offer), row.inputs, row.variables, row.outputs)


def _row(name: str, version: str) -> ModuleVersion | None:
    return db.session.scalar(select(ModuleVersion).where(ModuleVersion.name == name, ModuleVersion.digest == version))


def remember(module: Module) -> None:
    """Keep what was read, so that other processes and later starts need not read it again."""
    if module.error is not None or module.version is None or module.offer is None:
        return
    row = _row(module.name, module.version)
    if row is not None and row.reader == READER:
        return
    row = row or ModuleVersion(name=module.name, digest=module.version)
    row.reader = READER
    row.inputs, row.variables, row.outputs = module.inputs, dict(module.variables), module.outputs
    row.offer = module.offer.model_dump(mode="json")
    # Another worker may have been faster; then it wrote the same.
    with suppress(IntegrityError), db.session.begin_nested():
        db.session.add(row)


def read_module(name: str, tree: Tree) -> Module:
    """Read, check and describe a module from its files alone."""
    try:
        with _reading:
            return _read(name, tree)
    except _Refused as error:
        return Module(name, tree.version, error=str(error))


def _read(name: str, tree: Tree) -> Module:
    if not MODULE_NAME.fullmatch(name):
        raise _Refused("the folder's name must be lower-case letters, digits and dashes")
    offer = _offer(tree)
    files = _parse(tree)
    refused = [text for text in (gate.file_refusal(path) for path, _ in tree.files) if text]
    refused += gate.refusals(files, offer.allow)
    if refused:
        raise _Refused("; ".join(refused))
    variables, outputs = _declared(files)
    mapping = _mapping(offer, variables)
    if offer.environment_field is not None and ENVIRONMENT in mapping:
        raise _Refused(f"{FILE_NAME}: environment_field: the module has an input called {ENVIRONMENT} itself")
    return Module(name, tree.version, offer, _inputs(offer, mapping, variables), mapping, outputs)


def _declared(files: dict[str, hcl.Block]) -> tuple[dict[str, Variable], dict[str, dict[str, Any]]]:
    """The variables and outputs of the module itself; those of its sub-modules are its own affair."""
    variables: dict[str, Variable] = {}
    outputs: dict[str, dict[str, Any]] = {}
    for path, file in files.items():
        if "/" in path:
            continue
        try:
            variables |= introspect.variables_of(file.blocks)
            outputs |= introspect.outputs_of(file.blocks)
        except hcl.HclError as error:
            raise _Refused(f"{path}:{error.line}: {error.text}") from error
    return variables, outputs


def _offer(tree: Tree) -> Offer:
    content = dict(tree.files).get(FILE_NAME)
    if content is None:
        raise _Refused(f"{FILE_NAME} is missing; docs/modules.md shows one")
    try:
        return read_offer(content)
    except OfferError as error:
        raise _Refused(f"{FILE_NAME}: {error}") from error


def _parse(tree: Tree) -> dict[str, hcl.Block]:
    files: dict[str, hcl.Block] = {}
    for path, content in tree.files:
        if path.endswith(".tf"):
            try:
                files[path] = hcl.read_file(content)
            except hcl.HclError as error:
                raise _Refused(f"{path}:{error.line}: {error.text}") from error
    if not any("/" not in path for path in files):
        raise _Refused("there is no .tf file in the folder")
    return files


def _mapping(offer: Offer, variables: dict[str, Variable]) -> dict[str, str]:
    """Which variable each input sets: those of the form first, in its order."""
    mapping = {name: entry.variable or name for name, entry in offer.form.items()}
    for name, variable in mapping.items():
        if variable not in variables:
            raise _Refused(f"{FILE_NAME}: form.{name}: the module has no variable {variable}")
    rest = [name for name in variables if name not in mapping.values()]
    mapping |= {name: name for name in rest if name not in mapping}
    if sorted(mapping.values()) != sorted(variables):
        raise _Refused(f"{FILE_NAME}: form: every variable needs one input, and every input one variable of its own")
    return mapping


def _inputs(offer: Offer, mapping: dict[str, str], variables: dict[str, Variable]) -> Schema:
    """The inputs as one JSON Schema."""
    properties: Schema = {}
    for name, variable in mapping.items():
        entry = offer.form.get(name)
        shown = {"title": entry.label, "x-component": entry.type} if entry else {"title": name}
        properties[name] = {**shown, **variables[variable].schema}
        choices = properties[name].get("enum")
        if entry and choices is not None and not set(entry.options.values()) <= set(choices):
            raise _Refused(f"{FILE_NAME}: form.{name}.options: {variable} takes only {', '.join(map(str, choices))}")
    required = [name for name, variable in mapping.items() if variables[variable].required]
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
