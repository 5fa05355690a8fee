"""Find the program itself, and all of its processes, also inside a sandbox with process numbers of its own.

A sandbox is two processes deep: the one that waits outside, and the program, number 1 inside. We always start and
remember the outer one.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGINT

from opsplatform.adapters.process_table import PROC, session_members

FIRST = "1"


def program_of(pid: int) -> int:
    """The process to interrupt: the program inside the sandbox that `pid` waits for, else `pid` itself."""
    return first_inside(pid) or pid


def hears_interrupts(pid: int) -> bool:
    """Whether a process has said what it does when interrupted; number 1 of a sandbox ignores it until then."""
    return bool(int(_field(pid, "SigCgt:")[-1], 16) >> (SIGINT - 1) & 1)


def first_inside(pid: int) -> int | None:
    """The process that is number 1 of the sandbox `pid` waits for; None when there is no sandbox."""
    depth = len(_numbers(pid))
    for child in _children(pid):
        numbers = _numbers(child)
        if len(numbers) > depth and numbers[-1] == FIRST:
            return child
    return None


def status_texts(pid: int, first: int | None) -> list[str]:
    """The kernel's `status` of every process of the program that can be seen.

    `first` is number 1 of its sandbox: the sandbox's own /proc then shows them all, whatever they did to get away.
    """
    if first is not None:
        with suppress(OSError):
            return list(_inside(PROC / str(first) / "root/proc"))
    found = (_read(PROC / str(member) / "status") for member in session_members(pid))
    return [text for text in found if text]


def _inside(table: Path) -> Iterator[str]:
    with os.scandir(table) as entries:
        names = [entry.name for entry in entries if entry.name.isdecimal()]
    for name in names:
        text = _read(table / name / "status")
        if text:
            yield text


def _children(pid: int) -> list[int]:
    """What the first thread of a process started: all of it where, as in bubblewrap, there is no other thread."""
    table = PROC / str(pid) / "task" / str(pid) / "children"
    if table.is_file():
        return [int(name) for name in _read(table).split()]
    return _children_by_search(pid)


def _children_by_search(pid: int) -> list[int]:
    """The same from the whole table of processes, where the kernel keeps no such list; that takes milliseconds."""
    if not PROC.is_dir():
        return []
    with os.scandir(PROC) as entries:
        pids = [entry.name for entry in entries if entry.name.isdecimal()]
    return [int(name) for name in pids if _parent(name) == str(pid)]


def _parent(name: str) -> str:
    fields = _read(PROC / name / "stat").rpartition(")")[2].split()
    return fields[1] if fields else ""


def _numbers(pid: int) -> list[str]:
    """What a process is called in our table and in each nested one."""
    return _field(pid, "NSpid:")[1:]


def _field(pid: int, name: str) -> list[str]:
    """One line of a process's status in words; `0` alone where there is none."""
    lines = _read(PROC / str(pid) / "status").splitlines()
    return next((line.split() for line in lines if line.startswith(name)), ["0"])


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii", "replace")
    except OSError:
        return ""
