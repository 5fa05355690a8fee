"""The fold of Terraform's messages, without Terraform."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsplatform.adapters.terraform_events import Completed, Diagnostic, Progress, parse, read_errors, render


def change(kind, address, action, **more):
    holder = "change" if kind in {"planned_change", "resource_drift"} else "hook"
    return {
        "type": kind,
        "@message": f"{address}: {kind}",
        holder: {"resource": {"addr": address}, "action": action, **more},
    }


def fold(*messages):
    progress = Progress()
    for message in messages:
        progress.take(message)
    return progress


def test_a_replacement_counts_twice_and_is_done_after_both_steps():
    progress = fold(
        change("planned_change", "a.b", "replace"),
        change("apply_start", "a.b", "delete"),
        change("apply_complete", "a.b", "delete"),
    )
    half = progress.by_address["a.b"].state
    progress.take(change("apply_complete", "a.b", "create", id_key="id", id_value="i-2", elapsed_seconds=3))

    assert (progress.total, progress.done, half) == (2, 2, "running")
    assert progress.resources() == [
        {
            "address": "a.b",
            "action": "replace",
            "state": "done",
            "elapsed_seconds": 3,
            "id_key": "id",
            "id_value": "i-2",
        }
    ]


@pytest.mark.parametrize("action", ["read", "noop", "import", "move", "forget", "something new"])
def test_what_makes_nothing_is_not_counted(action):
    progress = fold(change("planned_change", "a.b", action), change("apply_complete", "a.b", action))

    assert (progress.total, progress.done, progress.resources()) == (0, 0, [])


def test_a_command_forgets_the_one_before():
    progress = fold(
        change("planned_change", "a.b", "create"),
        {"type": "version", "terraform": "1.11.4"},
        change("planned_change", "c.d", "delete"),
    )

    assert list(progress.by_address) == ["c.d"]


def test_failures_are_counted_and_their_diagnostic_kept():
    told = {"severity": "error", "summary": "Quota", "detail": "Two is all.\n\nAsk for more.", "address": "a.b"}
    warned = {"severity": "warning", "summary": "Old"}
    progress = fold(
        change("planned_change", "a.b", "create"),
        change("apply_errored", "a.b", "create", elapsed_seconds=2),
        {"type": "diagnostic", "diagnostic": told},
        {"type": "diagnostic", "diagnostic": warned},
    )

    assert (progress.failed, progress.done, progress.by_address["a.b"].state) == (1, 0, "failed")
    assert [error.sentence for error in progress.errors] == ["Quota: Two is all. (a.b)"]
    assert len(progress.diagnostics) == 2


def test_what_was_made_and_destroyed_again_is_not_left():
    progress = fold(
        change("apply_complete", "a.b", "create", id_key="id", id_value="1"),
        change("apply_complete", "c.d", "create"),
        change("apply_complete", "e.f", "update", id_key="id", id_value="3"),
        change("apply_complete", "a.b", "delete"),
    )

    assert progress.created() == {"c.d": None}
    assert progress.journal[0] == Completed("a.b", "create", "id", "1")


def test_changes_outputs_and_drift_are_kept():
    progress = fold(
        {"type": "change_summary", "changes": {"add": 1, "operation": "plan"}},
        {"type": "outputs", "outputs": {"id": {"value": 1}}},
        change("resource_drift", "a.b", "update"),
    )

    assert progress.changes["add"] == 1
    assert progress.outputs == {"id": {"value": 1}}
    assert progress.drifted == ["a.b"]


def test_only_what_changed_is_drained():
    progress = fold(change("planned_change", "a.b", "create"), change("planned_change", "c.d", "create"))
    first = [resource.address for resource in progress.drain()]
    progress.take(change("apply_progress", "c.d", "create", elapsed_seconds=10))

    second = progress.drain()

    assert first == ["a.b", "c.d"]
    assert [(resource.address, resource.elapsed_seconds) for resource in second] == [("c.d", 10)]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "planned_change"},
        {"type": "planned_change", "change": 3},
        {"type": "apply_complete", "hook": {"resource": {}}},
        {"type": "apply_progress", "hook": {"resource": {"addr": "a.b"}, "action": "create", "elapsed_seconds": "x"}},
        {"type": "diagnostic", "diagnostic": None},
        {"type": "outputs", "outputs": 1},
        {"type": ["version"]},
        {},
        None,
    ],
)
def test_a_misshapen_message_is_passed_over(message):
    progress = fold(change("planned_change", "a.b", "create"), message)

    assert progress.total == 1


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_line_breaks_the_fold_or_the_rendering(value):
    progress = Progress()
    for kind in ("planned_change", "apply_complete", "diagnostic", "outputs", "change_summary"):
        line = json.dumps({"type": kind, "change": value, "hook": value, "diagnostic": value, "outputs": value})
        progress.take(line)

        assert isinstance(render(line), str)


@pytest.mark.parametrize("text", ["", "{", "plain text", '{"no": "type"}', '{"type": 3}', "[1]", "{" * 100_000])
def test_what_is_no_message_is_none(text):
    assert parse(text) is None


def test_people_read_the_message_and_not_the_json():
    told = {"type": "apply_start", "@message": "a.b: Creating..."}
    bad = {"type": "diagnostic", "diagnostic": {"severity": "error", "summary": "Quota", "detail": "Two is all."}}

    assert render(json.dumps(told)) == "a.b: Creating..."
    assert render("", bad) == "Error: Quota\nTwo is all."
    assert render("\x1b[31mred\x1b[0m and \x07bell\x00") == "red and bell"
    assert len(render("x" * 10_000)) == 4000


def test_errors_written_for_people_lose_their_frame():
    text = "╷\n│ Error: No such thing\n│ \n│ It is not there.\n╵"

    assert read_errors(text) == [Diagnostic("No such thing", "It is not there.")]
    assert read_errors("all is well") == []
