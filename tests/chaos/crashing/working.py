"""Which processes still work in a folder, seen from outside."""

from contextlib import suppress
from pathlib import Path


def processes_in(folder: Path) -> list[int]:
    """Numbers of the processes whose working folder lies there; it may have been removed."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                where = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
                if Path(where).is_relative_to(folder):
                    found.append(int(entry.name))
    return found
