"""DingTalk's answers are read leniently: every spelling seen in the wild ends in the same plain values."""

import datetime as dt

import pytest

from opsplatform.adapters.dingtalk_values import FormValue, read_instance, read_person, read_time

NOON = dt.datetime(2022, 8, 31, 11, 52, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2022-08-31T11:52Z",
        "2022-08-31T11:52:00Z",
        "2022-08-31T19:52+08:00",
        "2022-08-31T11:52:00.000Z",
        "2022-08-31 19:52:00",
        1661946720000,
        "1661946720000",
    ],
)
def test_every_spelling_of_a_time_is_read(text):
    assert read_time(text) == NOON


@pytest.mark.parametrize("text", ["", None, "soon", {}, "2022-13-45T00:00Z", 10**25, "0001-01-01T00:00+14:00"])
def test_a_time_that_is_none_is_none(text):
    assert read_time(text) is None


@pytest.mark.parametrize("value", ["null", "", None])
def test_a_field_left_empty_has_no_value_however_it_is_spelled(value):
    instance = read_instance("i", {"formComponentValues": [{"id": "a", "name": "A", "value": value}]})

    assert instance.values == (FormValue("a", "A", None, None, "", None),)


def test_values_that_are_no_text_become_json():
    fields = [{"id": "a", "value": 10}, {"id": "b", "value": ["x"], "extValue": {"键": 1}}]

    first, second = read_instance("i", {"formComponentValues": fields}).values

    assert (first.value, second.value, second.ext_value) == ("10", '["x"]', '{"键": 1}')


def test_a_value_keeps_its_text_except_for_what_no_database_stores():
    hostile = "$(rm -rf /) ${var.x}\n😀 \u0000"

    (value,) = read_instance("i", {"formComponentValues": [{"id": "a", "value": hostile}]}).values

    assert value.value == "$(rm -rf /) ${var.x}\n😀 \ufffd"


def test_an_answer_with_almost_nothing_in_it_is_read():
    instance = read_instance("i", {"status": "RUNNING", "tasks": None, "operationRecords": ["?"]})

    assert (instance.status, instance.result, instance.biz_action) == ("RUNNING", "", "NONE")
    assert (instance.tasks, instance.operations, instance.values) == ((), (), ())
    assert not instance.approved


@pytest.mark.parametrize(
    ("status", "result", "approved"),
    [
        ("COMPLETED", "agree", True),
        ("COMPLETED", "refuse", False),
        ("RUNNING", "agree", False),
        ("TERMINATED", "", False),
    ],
)
def test_only_a_completed_agreement_is_approved(status, result, approved):
    assert read_instance("i", {"status": status, "result": result}).approved is approved


@pytest.mark.parametrize("departments", [[2, 3], "[2,3]", "[2, 3]", ["2", "3"]])
@pytest.mark.parametrize("active", [True, "true"])
def test_a_person_is_read_from_numbers_and_from_texts(departments, active):
    person = read_person({"userid": "z", "name": "张三", "dept_id_list": departments, "active": active})

    assert (person.userid, person.name, person.active, person.dept_ids) == ("z", "张三", True, (2, 3))


def test_a_person_who_left_is_not_active():
    assert not read_person({"userid": "z", "active": "false"}).active
