"""Canaries: secrets that can be told from everything else, and a search for them in any spelling.

Each holds a core of letters and digits that no escaping changes, among characters that every escaping does. The core
begins alike in all, so that one search finds a thousand of them.
"""

import base64
import gzip
import io
import secrets
import string
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

MARK = "cAnArY"
CORE = len(MARK) + 5 + 8  # the mark, a number, and letters that prove that it is one of ours
LETTERS = (string.ascii_letters + string.digits + "+/").encode()  # of base64
URL_SAFE = bytes.maketrans(b"-_", b"+/")
AROUND = ("", '"\\', "<&>", "é", "钥😀", "+/ %", "\t'", "$${", "\n")


class Canaries:
    """Secrets that were handed in, by where."""

    def __init__(self) -> None:
        self.entrance_of: dict[str, str] = {}
        self.others: dict[str, str] = {}

    def new(self, entrance: str, *, plain: bool = False) -> str:
        """A secret for an entrance; `plain` ones are letters and digits only."""
        number = len(self.entrance_of)
        core = f"{MARK}{number:05d}{secrets.token_hex(4)}"
        self.entrance_of[core] = entrance
        around = "" if plain else AROUND[number % len(AROUND)]
        return f"{around}{core}{around[::-1]}"

    def know(self, entrance: str, secret: str) -> None:
        """Look for a secret too that could not be chosen: a token that was given out, a key of the settings."""
        self.others[secret] = entrance

    def search(self, content: bytes) -> dict[str, set[str]]:
        """What stands in the content: entrance to the spellings."""
        found: dict[str, set[str]] = {}
        for core, spelling in cores_in(content):
            if core in self.entrance_of:
                found.setdefault(self.entrance_of[core], set()).add(spelling)
        for secret, entrance in self.others.items():
            for spelling, text in spelled(secret):
                if text in content:
                    found.setdefault(entrance, set()).add(spelling)
        return found

    def count(self, content: bytes) -> dict[str, int]:
        """How many different secrets of each entrance stand in the content."""
        cores = {core for core, _ in cores_in(content)}
        seen = [entrance for core, entrance in self.entrance_of.items() if core in cores]
        seen += [e for secret, e in self.others.items() if any(text in content for _, text in spelled(secret))]
        return {entrance: seen.count(entrance) for entrance in seen}


def spelled(secret: str) -> Iterator[tuple[str, bytes]]:
    """A secret as it may lie somewhere."""
    raw = secret.encode()
    yield "raw", raw
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "url", quote(secret, safe="").encode()
    yield "utf-16", secret.encode("utf-16-le")
    yield "utf-32", secret.encode("utf-32-le")
    for shift in range(3):
        yield f"base64+{shift}", _base64_inside(raw, shift)


def cores_in(content: bytes) -> Iterator[tuple[str, str]]:
    """Every core in the content, with its spelling."""
    for spelling, (start, length, read) in SPELLINGS.items():
        place = content.find(start)
        while place >= 0:
            try:
                core = read(content[max(0, place - 3) : place + length], min(3, place))
            except ValueError:
                core = ""
            if core.startswith(MARK):
                yield core, spelling
            place = content.find(start, place + 1)


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and those of everything packed in it."""
    yield from unpacked(path.read_bytes())


def unpacked(content: bytes) -> Iterator[bytes]:
    """The content, and what is inside it when it is a gzip, a zip, a tar or compressed by zlib."""
    yield content
    if content[:2] == b"\x1f\x8b":
        yield from unpacked(gzip.decompress(content))
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield from unpacked(packed.read(name))
    elif content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in packed.getmembers():
                file = packed.extractfile(member)
                yield from unpacked(file.read()) if file else ()
    elif content[:1] == b"\x78":
        try:
            yield zlib.decompress(content)
        except zlib.error:
            return


def _base64_inside(raw: bytes, shift: int) -> bytes:
    """The letters that are the same whatever stands before and after, when `shift` bytes of a group come before."""
    first = -(-shift * 8 // 6)
    last = (shift + len(raw)) * 8 // 6
    return base64.b64encode(b"\0" * shift + raw)[first:last]


def _read_text(encoding: str, width: int):
    def read(piece: bytes, before: int) -> str:
        return piece[before : before + CORE * width].decode(encoding)

    return read


def _read_hex(piece: bytes, before: int) -> str:
    return bytes.fromhex(piece[before : before + 2 * CORE].decode("ascii")).decode()


def _read_percent(piece: bytes, before: int) -> str:
    return bytes.fromhex(piece[before : before + 3 * CORE].decode("ascii").replace("%", "")).decode()


def _read_base64(shift: int):
    lead = base64.b64encode(b"\0" * shift + _RAW)[: -(-shift * 8 // 6)]

    def read(piece: bytes, before: int) -> str:
        letters = lead + bytes(letter if letter in LETTERS else 65 for letter in piece[before:].translate(URL_SAFE))
        letters = letters[: -(-(shift + CORE) // 3) * 4]
        return base64.b64decode(letters + b"A" * (-len(letters) % 4))[shift : shift + CORE].decode("ascii", "replace")

    return read


_RAW = MARK.encode()
SPELLINGS = {
    "raw": (_RAW, CORE, _read_text("ascii", 1)),
    "utf-16": (MARK.encode("utf-16-le"), 2 * CORE, _read_text("utf-16-le", 2)),
    "utf-32": (MARK.encode("utf-32-le"), 4 * CORE, _read_text("utf-32-le", 4)),
    "hex": (_RAW.hex().encode(), 2 * CORE, _read_hex),
    "HEX": (_RAW.hex().upper().encode(), 2 * CORE, _read_hex),
    "percent": ("".join(f"%{byte:02X}" for byte in _RAW).encode(), 3 * CORE, _read_percent),
    **{f"base64+{n}": (_base64_inside(_RAW, n), 4 * -(-(n + CORE) // 3), _read_base64(n)) for n in range(3)},
}
