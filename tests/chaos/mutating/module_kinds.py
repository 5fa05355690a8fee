"""Ways to change the module of an approved run."""

import shutil

from opsplatform.catalog.trees import read_tree
from tests.chaos.mutating.target import Kind, Target, bits


def _edited(target: Target) -> bool:
    path = target.rng.choice([path for path in target.folder.iterdir() if path.stat().st_size])
    path.write_bytes(bits(target, path.read_bytes()))
    return True


def _offer_edited(target: Target) -> bool:
    with (target.folder / "offer.yaml").open("a") as offer:
        offer.write(f"# {target.rng.random()}\n")
    return True


def _added(target: Target) -> bool:
    text = f'output "more" {{\n  value = {target.rng.random()}\n}}\n'
    (target.folder / f"more-{target.rng.randrange(10**6)}.tf").write_text(text)
    return True


def _removed(target: Target) -> bool:
    target.rng.choice(list(target.folder.iterdir())).unlink()
    return True


def _renamed(target: Target) -> bool:
    path = target.rng.choice(list(target.folder.glob("*.tf")))
    path.rename(path.with_name(f"renamed-{target.rng.randrange(10**6)}.tf"))
    return True


def _linked(target: Target) -> bool:
    path = target.rng.choice(list(target.folder.iterdir()))
    path.rename(path.with_name(f".{path.name}"))
    path.symlink_to(f".{path.name}")
    return True


def _gone(target: Target) -> bool:
    shutil.rmtree(target.folder)
    return True


def _version_fits(target: Target) -> bool:
    """The module is edited, and the run's row says that this is the version that was ordered."""
    _added(target)
    target.run.module_version = read_tree(target.folder).version
    return True


KINDS: dict[str, Kind] = {
    "module: a file edited": _edited,
    "module: the offer edited": _offer_edited,
    "module: a file added": _added,
    "module: a file removed": _removed,
    "module: a file renamed": _renamed,
    "module: a link in the place of a file": _linked,
    "module: gone": _gone,
    "module: edited, and the run's version with it": _version_fits,
}
