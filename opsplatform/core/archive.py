"""The file of a backup: a tar with one gzipped member of JSON lines for each table, and a manifest as its last members.

The manifest names every column with its kind, so that an archive can be read into another kind of database and by a
later version. It carries the SHA-256 of every member and stands at the end, so that half an archive is none.
"""

import base64
import datetime as dt
import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

from pydantic import BaseModel, ValidationError
from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, String, Table, TableClause, column, table
from sqlalchemy.types import TypeEngine

from opsplatform.core.db import Id, Json, LongBytes, LongText, UTCDateTime
from opsplatform.core.errors import OpsError

FORMAT = 1
MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.sha256"

Kind = Literal["bool", "time", "bytes", "json", "float", "int", "text"]

# A kind, the types a model may give a column of it, and the type it is written back with.
KINDS: dict[Kind, tuple[type[TypeEngine[Any]], TypeEngine[Any]]] = {
    "bool": (Boolean, Boolean(create_constraint=False)),
    "time": (UTCDateTime, UTCDateTime()),
    "bytes": (LargeBinary, LongBytes),
    "json": (JSON, Json),
    "float": (Float, Float(53)),
    "int": (Integer, Id),
    "text": (String, LongText),
}
TO_TEXT: dict[Kind, Callable[[Any], Any]] = {
    "time": lambda value: value.isoformat(),
    "bytes": lambda value: base64.b64encode(value).decode(),
}
FROM_TEXT: dict[Kind, Callable[[Any], Any]] = {"time": dt.datetime.fromisoformat, "bytes": base64.b64decode}


class ArchiveError(OpsError):
    """A file is no backup, not a whole one, or was changed."""


class Member(BaseModel):
    """One table: its columns with their kinds, how many rows there are, and the sum of its lines as they lie there."""

    table: str
    columns: list[tuple[str, Kind]]
    rows: int
    sha256: str

    @property
    def name(self) -> str:
        """The name of the member."""
        return f"tables/{self.table}.jsonl.gz"

    @property
    def target(self) -> TableClause:
        """The table as it is written to; only names and types, because the models may be newer."""
        return table(self.table, *(column(name, KINDS[kind][1]) for name, kind in self.columns))


class About(BaseModel):
    """What a backup is of. `keys` holds for each key id of the sealed values a proof that a key is the same one."""

    format: int = FORMAT
    version: str
    revision: str
    database: str
    made_at: dt.datetime
    keys: dict[str, str | None] = {}


class Manifest(About):
    """What a backup holds."""

    tables: list[Member]


class Writer:
    """An archive that is being written."""

    def __init__(self, tar: tarfile.TarFile, folder: Path) -> None:
        self._tar = tar
        self._folder = folder
        self._members: list[Member] = []

    def add(self, source: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Write the rows of one table; their values stand in the order of its columns."""
        columns = [(each.name, kind_of(each)) for each in source.columns]
        with tempfile.TemporaryFile(dir=self._folder) as file:
            count = _write_lines(file, [kind for _, kind in columns], rows)
            size = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            member = Member(table=source.name, columns=columns, rows=count, sha256=digest)
            self._put(member.name, file, size)
        self._members.append(member)

    def finish(self, about: About) -> Manifest:
        """Write the manifest; without it the archive is none."""
        manifest = Manifest(**about.model_dump(), tables=self._members)
        text = manifest.model_dump_json(indent=1).encode()
        self._put(MANIFEST, io.BytesIO(text), len(text))
        digest = hashlib.sha256(text).hexdigest().encode()
        self._put(MANIFEST_SUM, io.BytesIO(digest), len(digest))
        return manifest

    def _put(self, name: str, file: IO[bytes], size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        self._tar.addfile(info, file)


class Archive:
    """A whole archive, ready to be read."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.manifest = self._read_manifest()

    def verify(self) -> None:
        """Look at every byte; ArchiveError when one is not as it was written."""
        for member in self.manifest.tables:
            if hashlib.file_digest(self._open(member.name), "sha256").hexdigest() != member.sha256:
                raise ArchiveError(f"{member.name} was changed since the backup was made; take another backup.")

    def rows(self, member: Member) -> Iterator[dict[str, Any]]:
        """The rows of one table, by column."""
        readers = [(name, FROM_TEXT.get(kind)) for name, kind in member.columns]
        with gzip.open(self._open(member.name), "rt", encoding="utf-8") as lines:
            for line in lines:
                values = zip(readers, json.loads(line), strict=True)
                yield {name: value if value is None or not read else read(value) for (name, read), value in values}

    def _read_manifest(self) -> Manifest:
        text, digest = self._open(MANIFEST).read(), self._open(MANIFEST_SUM).read()
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise ArchiveError("The manifest was changed since the backup was made; take another backup.")
        if json.loads(text).get("format") != FORMAT:
            raise ArchiveError("The backup was made by another version that writes it differently; use that one.")
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            raise ArchiveError("The manifest cannot be understood; take another backup.") from error

    def _open(self, name: str) -> io.BufferedReader:
        try:
            found = self._tar.extractfile(name)
        except KeyError:
            found = None
        if found is None:
            raise ArchiveError(f"{name} is missing: this is no backup, or not a whole one.")
        return cast("io.BufferedReader", found)


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """Write an archive that appears under its name, readable by us only, when it is whole."""
    if path.exists():
        raise ArchiveError(f"{path} is there already; choose another name.")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                yield Writer(tar, path.parent)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written ({error.strerror}).") from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive, or ArchiveError."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield Archive(tar)
    except tarfile.TarError as error:
        raise ArchiveError(f"{path} is no backup, or not a whole one ({error}).") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror or error}).") from error


def kind_of(source: Column[Any]) -> Kind:
    """The kind of a column; TypeError for one that a backup could not hold."""
    for kind, (declared, _) in KINDS.items():
        if isinstance(source.type, declared):
            return kind
    raise TypeError(f"{source} has a type that no backup holds")


def _write_lines(file: IO[bytes], kinds: list[Kind], rows: Iterable[Sequence[Any]]) -> int:
    writers = [TO_TEXT.get(kind) for kind in kinds]
    count = 0
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        for row in rows:
            values = [v if v is None or not write else write(v) for write, v in zip(writers, row, strict=True)]
            packed.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")
            count += 1
    return count
