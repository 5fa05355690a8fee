"""The files a sandboxed program works on: whose they are, and what it must not leave behind."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISGID, S_ISREG, S_ISUID

from opsplatform.core.errors import UpstreamError

# Numbers no distribution and no container engine hands out. A folder's own number makes two folders two users.
FIRST_USER = 1_900_000_000
USERS = 100_000_000
BORROWED_RIGHTS = S_ISUID | S_ISGID


def user_of(folder: Path) -> int:
    """The user who owns nothing but this folder."""
    try:
        return FIRST_USER + folder.stat().st_ino % USERS
    except OSError as error:
        raise UpstreamError("terraform", f"{folder}: cannot be used ({error.strerror}).") from error


def private_tree(folder: Path, *, besides: Sequence[Path] = ()) -> Iterator[Path]:
    """The folder and everything below, but for some files."""
    left_out = {str(path) for path in besides}
    yield folder
    for entry in _below(folder):
        if entry.path not in left_out:
            yield Path(entry.path)


def give(paths: Iterable[Path], user: int) -> None:
    """Make the user own them; links themselves and never what they point to."""
    for path in paths:
        os.chown(path, user, user, follow_symlinks=False)


def tidy(folders: Iterable[Path], made: Iterable[Path]) -> None:
    """Remove what is neither file nor folder: whoever reads here must not be led elsewhere, or wait for ever.

    A program that makes whoever starts it somebody else becomes a plain one.
    `made` are files we put there to be written; the empty ones were not. Nobody reads in `.terraform`, where init puts
    links to providers.
    """
    for folder in folders:
        for entry in _below(folder, passed_over=".terraform"):
            mode = entry.stat(follow_symlinks=False).st_mode
            if not (S_ISREG(mode) or S_ISDIR(mode)):
                Path(entry.path).unlink()
            elif mode & BORROWED_RIGHTS:
                Path(entry.path).chmod(S_IMODE(mode) & ~BORROWED_RIGHTS)
    for path in made:
        if not path.stat().st_size:
            path.unlink()


def open_to_all(folder: Path) -> None:
    """Let every user read what lies below; the folder above it says who gets there."""
    for path in private_tree(folder):
        mode = path.lstat().st_mode
        if S_ISDIR(mode):
            path.chmod(mode | 0o555)
        elif S_ISREG(mode):
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _below(folder: Path, *, passed_over: str = "") -> Iterator["os.DirEntry[str]"]:
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name == passed_over:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                yield entry
