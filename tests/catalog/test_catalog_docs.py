"""docs/modules.md: what it shows works, and it names every key."""

import re
import subprocess
from pathlib import Path

from pydantic import BaseModel

from opsplatform.catalog.modules import read_module
from opsplatform.catalog.offers import Offer
from opsplatform.catalog.trees import read_tree

PAGE = (Path(__file__).parents[2] / "docs" / "modules.md").read_text(encoding="utf-8")


def test_the_offer_of_the_page_can_be_offered(tmp_path):
    making, describing = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[:2]
    (tmp_path / "terraform_modules").mkdir()

    subprocess.run(["sh", "-ec", making + describing], cwd=tmp_path, check=True)
    module = read_module("greeting", read_tree(tmp_path / "terraform_modules" / "greeting"))

    assert module.error is None
    assert module.inputs["properties"]["language"]["enum"] == ["zh", "en"]


def test_every_key_of_an_offer_is_explained():
    table = PAGE.split("## Every key of offer.yaml")[1].split("\n### ")[0]

    missing = [key for key in keys_of(Offer) if not re.search(rf"[`.]{key}`", table)]

    assert missing == []


def keys_of(model: type[BaseModel]) -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        inner = [part for part in (field.annotation, *getattr(field.annotation, "__args__", ())) if is_model(part)]
        names += [key for part in inner for key in keys_of(part)] or [name]
    return names


def is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
