"""The digest that binds an approval to a plan, and the summary an approver reads."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsplatform.runs.digest import (
    PlanInputs,
    action_of,
    canonical,
    difference,
    digest_of,
    parts_of,
    short,
    summarise,
)
from tests.miniatures import plan_json

INPUTS = PlanInputs(
    plan=b"plan",
    plan_json=b"{}",
    module_version="v1",
    variables=b"{}",
    lock=b"lock",
    imports=b"",
    lineage="one",
    serial=1,
    state=b"{}",
)
CHANGED = {
    "plan": (b"plaN", "plan file"),
    "plan_json": (b"[]", "plan JSON"),
    "module_version": ("v2", "module"),
    "variables": (b"{ }", "variables"),
    "lock": (b"", "provider lock file"),
    "imports": (b"import {}", "imports"),
    "lineage": ("two", "state"),
    "serial": (2, "state"),
    "state": (b"{ }", "state"),
}
BYTES = st.binary(max_size=8)


def digest(**more):
    return digest_of(parts_of(replace(INPUTS, **more)))


def test_the_same_inputs_have_the_same_digest():
    assert digest() == digest(serial=1)


@pytest.mark.parametrize("name", [field.name for field in fields(PlanInputs)])
def test_any_changed_input_changes_the_digest_and_is_named(name):
    value, part = CHANGED[name]

    assert digest(**{name: value}) != digest()
    assert difference(parts_of(INPUTS), parts_of(replace(INPUTS, **{name: value}))) == [part]


@given(st.tuples(BYTES, BYTES, BYTES), st.tuples(BYTES, BYTES, BYTES))
def test_what_belongs_to_one_input_cannot_pass_for_another(one, other):
    digests = [digest(plan=a, variables=b, lock=c) for a, b, c in (one, other)]

    assert (digests[0] == digests[1]) == (one == other)


def test_the_same_plan_reads_the_same_whatever_the_order_and_the_time_of_day():
    one = {"timestamp": "2026-01-02T03:04:05Z", "b": [1, {"y": "名", "x": None}], "a": 1.5}
    other = {"a": 1.5, "b": [1, {"x": None, "y": "名"}], "timestamp": "2026-01-02T03:04:06Z"}

    assert canonical(one) == canonical(other)
    assert json.loads(canonical(one)) == {"a": 1.5, "b": [1, {"x": None, "y": "名"}]}
    assert canonical(one) != canonical({**one, "b": [{"y": "名", "x": None}, 1]})


def test_people_compare_sixteen_digits_in_groups_of_four():
    assert short("0123456789abcdef" * 4) == "0123-4567-89ab-cdef"


@pytest.mark.parametrize(
    ("actions", "word"),
    [
        (["create"], "create"),
        (["update"], "update"),
        (["delete"], "delete"),
        (["delete", "create"], "replace"),
        (["create", "delete"], "replace"),
        (["read"], "read"),
        (["no-op"], "no-op"),
    ],
)
def test_each_change_has_one_word(actions, word):
    assert action_of({"change": {"actions": actions}}) == word


def test_what_is_only_taken_in_has_a_word_of_its_own():
    assert action_of({"change": {"actions": ["no-op"], "importing": {"id": "srv-1"}}}) == "import"
    assert action_of({"change": {"actions": ["update"], "importing": {"id": "srv-1"}}}) == "update"


def test_the_summary_shows_what_is_taken_in_and_under_which_id():
    plan = plan_json(("a.a", ["no-op"]), ("b.b", ["update"]), ("c.c", ["create"]))
    plan["resource_changes"][0]["change"]["importing"] = {"id": "srv-1"}
    plan["resource_changes"][1]["change"]["importing"] = {"id": "srv-2"}

    summary = summarise(plan)

    assert summary["summary"].splitlines() == ["← a.a (imports srv-1)", "~ b.b (imports srv-2)", "+ c.c"]
    assert (summary["imports"], summary["add"], summary["creates_only"]) == (2, 1, False)


def test_a_change_without_actions_does_nothing():
    assert action_of({}) == "no-op"


def test_the_summary_counts_a_replacement_as_one_made_and_one_destroyed():
    plan = plan_json(("a.a", ["create"]), ("b.b", ["delete", "create"]), ("c.c", ["update"]), ("d.d", ["no-op"]))

    summary = summarise(plan)

    assert (summary["add"], summary["change"], summary["destroy"]) == (2, 1, 1)
    assert summary["summary"].splitlines() == ["+ a.a", "± b.b", "~ c.c"]
    assert summary["creates_only"] is False


def test_a_long_list_is_cut_and_says_how_much_is_missing():
    summary = summarise(plan_json(*((f"a.n{n}", ["create"]) for n in range(13))))

    assert summary["summary"].splitlines()[-1] == "… 3 more"
    assert len(summary["summary"].splitlines()) == 11
    assert summary["creates_only"] is True


@pytest.mark.parametrize(("actions", "expected"), [(["create"], True), (["no-op"], False), (None, False)])
def test_a_plan_that_only_changes_an_output_is_something_to_do(actions, expected):
    assert summarise(plan_json(outputs={"url": {"actions": actions}}))["outputs_change"] is expected
