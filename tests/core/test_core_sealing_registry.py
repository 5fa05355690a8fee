"""Every sealed column stands in the table that key rotation goes through."""

import pytest
from sqlalchemy import LargeBinary

from config import parse_seal_keys
from opsplatform.app import SEALED
from opsplatform.core.db import db
from opsplatform.core.sealing import SealError, beginning, key_id, open_with, seal_with

KEYS = parse_seal_keys("é1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


def test_every_column_of_bytes_is_sealed_and_stands_in_the_table():
    columns = {
        column
        for table in db.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }

    assert {column.name for column in columns} == {"sealed"}
    assert {sealed.column.property.columns[0] for sealed in SEALED} == columns
    assert len(SEALED) == len(columns)


def test_a_sealed_value_names_its_key_at_its_beginning():
    sealed = seal_with(KEYS, b"plain", "here")

    assert key_id(sealed) == "é1"
    assert sealed.startswith(beginning("é1"))
    assert open_with(KEYS, sealed, "here") == b"plain"


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02\x01k", b"plain text"])
def test_what_is_not_sealed_names_no_key(value):
    with pytest.raises(SealError, match="not a sealed value"):
        key_id(value)
