"""The digest that binds an approval to a plan, and the summary an approver reads."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsplatform.runs.digest import PlanInputs, action_of, digest_of, short, summarise
from tests.miniatures import plan_json

INPUTS = PlanInputs(plan=b"plan", module_version="v1", variables=b"{}", lock=b"lock", lineage="one", serial=1)
CHANGED = {"plan": b"plaN", "module_version": "v2", "variables": b"{ }", "lock": b"", "lineage": "two", "serial": 2}
BYTES = st.binary(max_size=8)


def test_the_same_inputs_have_the_same_digest():
    assert digest_of(INPUTS) == digest_of(replace(INPUTS))


@pytest.mark.parametrize("name", [field.name for field in fields(PlanInputs)])
def test_any_changed_input_changes_the_digest(name):
    assert digest_of(replace(INPUTS, **{name: CHANGED[name]})) != digest_of(INPUTS)


@given(st.tuples(BYTES, BYTES, BYTES), st.tuples(BYTES, BYTES, BYTES))
def test_what_belongs_to_one_input_cannot_pass_for_another(one, other):
    digests = [digest_of(replace(INPUTS, plan=a, variables=b, lock=c)) for a, b, c in (one, other)]

    assert (digests[0] == digests[1]) == (one == other)


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
