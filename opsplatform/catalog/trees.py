"""Module folders on disk: their files, and the digest that is their version."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opsplatform.catalog.offers import FILE_NAME

MODULE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LOCK_FILE = ".terraform.lock.hcl"
MOST_FILES = 200
MOST_BYTES = 5_000_000

Signature = tuple[tuple[str, int, int, int], ...]


class TreeError(Exception):
    """A folder cannot be a module; the text says why."""


@dataclass(frozen=True)
class Tree:
    """The files of a module by their path, sorted, as bytes."""

    files: tuple[tuple[str, bytes], ...]

    @property
    def version(self) -> str:
        """SHA-256 over paths and contents, each with its length before it."""
        digest = hashlib.sha256()
        for path, content in self.files:
            for part in (path.encode(), content):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return digest.hexdigest()

    def terraform_files(self) -> list[tuple[str, bytes]]:
        """What Terraform is given: everything but the offer."""
        return [(path, content) for path, content in self.files if path != FILE_NAME]


def folders(root: Path) -> list[str]:
    """The names of all folders that may be modules, sorted."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def folder_of(root: Path, name: str) -> Path | None:
    """The real folder of a module, or None when there is none of that name."""
    folder = root / name
    if not MODULE_NAME.fullmatch(name) or folder.is_symlink() or not folder.is_dir():
        return None
    return folder


def signature(folder: Path) -> Signature:
    """Changes whenever a file is added, removed, replaced or written; costs no reading."""
    return tuple((path, stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in _entries(folder, ""))


def read_tree(folder: Path) -> Tree:
    """The files as they are now, or TreeError."""
    files: list[tuple[str, bytes]] = []
    room = MOST_BYTES
    for path, _ in _entries(folder, ""):
        content = (folder / path).read_bytes()
        room -= len(content)
        if room < 0 or len(files) == MOST_FILES:
            raise TreeError(f"a module holds at most {MOST_FILES} files and {MOST_BYTES:,} bytes")
        files.append((path, content))
    return Tree(tuple(files))


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below, sorted; hidden ones are no part of a module, but for Terraform's lock file."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = prefix + entry.name
        if entry.name.startswith(".") and path != LOCK_FILE:
            continue
        if entry.is_symlink():
            raise TreeError(f"{path}: links are not allowed in a module; put the file itself there")
        if entry.is_dir():
            yield from _entries(folder / entry.name, path + "/")
        elif entry.is_file():
            yield path, entry.stat()
        else:
            raise TreeError(f"{path}: only files and folders are allowed in a module")
