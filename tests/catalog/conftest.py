"""A catalogue of its own for each test, and modules written into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from config import Config
from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.core.db import init_db

OFFER = "title: {zh: 测试, en: Test}\n"
SHIPPED = Path(__file__).parents[2] / "terraform_modules"


def write_module(root: Path, name: str, main: str, offer: str | None = OFFER, **files: str) -> Path:
    """A module folder with a main.tf, an offer and perhaps more files."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.tf").write_text(main, encoding="utf-8")
    if offer is not None:
        (folder / "offer.yaml").write_text(offer, encoding="utf-8")
    for path, content in files.items():
        (folder / path).write_text(content, encoding="utf-8")
    return folder


def form_value(name: str, value: str | None, kind: str = "TextField", **more: str | None) -> FormValue:
    """A component as DingTalk answers it; its id is its label unless told."""
    return FormValue(
        id=more.get("id") or name,
        name=name,
        value=value,
        ext_value=more.get("ext"),
        component_type=kind,
        biz_alias=more.get("alias"),
    )


@pytest.fixture
def build() -> SimpleNamespace:
    return SimpleNamespace(module=write_module, value=form_value, shipped=SHIPPED)


@pytest.fixture
def catalogue(
    tmp_path: Path, make_config: Callable[..., Config], clean_up: Callable[[Flask], Flask]
) -> Iterator[SimpleNamespace]:
    """An application with an empty catalogue; `module` writes into it."""
    root = tmp_path / "modules"
    root.mkdir()
    yield from _application(root, make_config, clean_up)


@pytest.fixture
def shipped(make_config: Callable[..., Config], clean_up: Callable[[Flask], Flask]) -> Iterator[SimpleNamespace]:
    """An application with the modules that ship with the platform."""
    yield from _application(SHIPPED, make_config, clean_up)


def _application(root: Path, make_config, clean_up) -> Iterator[SimpleNamespace]:
    config = make_config(terraform_modules_dir=root)
    app = Flask("catalogue")
    app.extensions["settings"] = config
    init_db(app, config.database)
    clean_up(app)

    def module(name: str, main: str, offer: str | None = OFFER, **files: str) -> Path:
        return write_module(root, name, main, offer, **files)

    with app.app_context():
        yield SimpleNamespace(app=app, root=root, module=module)
