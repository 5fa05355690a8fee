"""Finding who opened what, when: filters, pages, spreadsheets."""

import csv
import datetime as dt
import io

import pytest
from sqlalchemy import insert, update

from opsplatform.core.db import db, transaction
from opsplatform.core.schemas import page
from opsplatform.inventory import rpc, service
from opsplatform.inventory.models import Resource
from opsplatform.inventory.service import Filter

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.fixture
def put(platform):
    """Store a resource; what is not given is as usual."""

    def store(name="web", **more):
        values = {
            "address": f"a.{name}",
            "type": "a",
            "name": name,
            "provider_id": f"id-{name}",
            "module": "demo-server",
            "workspace": "ws",
            "environment": "demo",
            "applicant_userid": "zhangsan",
            "applicant_name": "张三",
            "approval": {"business_id": "2026", "title": "申请"},
            "approvers": [{"userid": "manager1", "name": "王经理"}, {"userid": "manager2"}],
            "run_id": 1,
            "state": "active",
            "created_at": NOON,
            "attributes": {},
            **more,
        }
        with transaction():
            db.session.execute(insert(Resource), [values])

    return store


def names(**wanted):
    return {row.name for row in db.session.scalars(service.find(Filter(**wanted)))}


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        ({"applicant": "lisi"}, {"applicant_userid": "lisi"}),
        ({"module": "fleet"}, {"module": "fleet"}),
        ({"environment": "prod"}, {"environment": "prod"}),
        ({"type": "b"}, {"type": "b"}),
        ({"state": "destroyed"}, {"state": "destroyed"}),
        ({"created_from": NOON + dt.timedelta(hours=1)}, {"created_at": NOON + dt.timedelta(hours=1)}),
        ({"created_to": NOON}, {"created_at": NOON - dt.timedelta(microseconds=1)}),
        ({"query": "needle"}, {"provider_id": "xx-needle-xx"}),
        ({"query": "needle"}, {"address": "a.needle"}),
        ({"query": "李"}, {"applicant_name": "李四"}),
        ({"query": "needle"}, {"workspace": "the-needle"}),
        ({"query": "needle", "module": "fleet"}, {"workspace": "needle", "module": "fleet"}),
    ],
)
def test_every_filter_finds_what_it_should_and_nothing_else(put, wanted, other):
    put("usual")
    put("other", **other)

    assert names(**wanted) == {"other"}


@pytest.mark.parametrize("wildcard", ["%", "_", "\\", "/"])
def test_a_wildcard_in_a_query_is_only_a_letter(put, wildcard):
    put("plain")
    put(f"with{wildcard}it")

    assert names(query=f"h{wildcard}i") == {f"with{wildcard}it"}


def test_no_filter_finds_everything(put):
    put("a")
    put("b", state="destroyed")

    assert names() == {"a", "b"}
    assert names(query="") == {"a", "b"}


def test_pages_skip_and_repeat_nothing_while_rows_are_added(put):
    for n in range(7):
        put(f"n{n}")
    seen, cursor = [], None
    while True:
        found = page(service.find(Filter()), Resource.id, limit=3, cursor=cursor, dump=list)
        seen += [row.name for row in found["items"]]
        put(f"late{len(seen)}")
        cursor = found["next_cursor"]
        if cursor is None:
            break

    assert seen == ["n6", "n5", "n4", "n3", "n2", "n1", "n0"]


def test_a_time_without_a_zone_is_taken_as_utc(put):
    put("web")

    wanted = rpc._filter(None, None, None, None, None, NOON.replace(tzinfo=None), NOON, None)

    assert wanted.created_from == NOON
    assert names(created_from=wanted.created_from) == {"web"}


def test_the_export_has_a_header_and_a_line_for_each_resource_newest_first(put):
    put("first")
    put("second", destroyed_at=NOON)

    lines = list(csv.DictReader(io.StringIO(service.export(Filter()))))

    assert list(lines[0]) == list(service.EXPORT_COLUMNS)
    assert [line["name"] for line in lines] == ["second", "first"]
    assert lines[0]["destroyed_at"] == "2026-01-02T12:00:00Z"
    assert lines[1]["destroyed_at"] == ""
    assert (lines[0]["approvers"], lines[0]["approval_number"]) == ("王经理, manager2", "2026")


def test_the_export_of_a_filter_holds_only_what_matches(put):
    put("web")
    put("db", module="database")

    assert [line["name"] for line in csv.DictReader(io.StringIO(service.export(Filter(module="database"))))] == ["db"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_nothing_in_an_export_is_a_formula_for_a_spreadsheet(put, start):
    put("web", workspace=f"{start}HYPERLINK(1)", approval={"title": f"{start}1+1"})

    (line,) = csv.DictReader(io.StringIO(service.export(Filter()), newline=""))

    assert line["workspace"] == f"'{start}HYPERLINK(1)"
    assert line["approval_title"] == f"'{start}1+1"


def test_an_odd_text_stays_one_cell(put):
    put('a,"b"\nc 😀')

    (line,) = csv.DictReader(io.StringIO(service.export(Filter()), newline=""))

    assert line["name"] == 'a,"b"\nc 😀'


def test_a_resource_nobody_approved_is_exported_too(put):
    put("web")
    with transaction():
        db.session.execute(update(Resource).values(approval=None, approvers=[]))

    (line,) = csv.DictReader(io.StringIO(service.export(Filter())))

    assert (line["approval_number"], line["approvers"]) == ("", "")
