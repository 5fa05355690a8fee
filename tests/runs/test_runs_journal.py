"""What an apply made or may have made: the journal, and what of it the state does not hold."""

from types import SimpleNamespace

import pytest

from opsplatform.runs.applying import Outcome, _orphans
from opsplatform.runs.journal import Journal
from opsplatform.runs.workdir import Workdir


def hook(kind, address="a.web", action="create", **more):
    return {"type": kind, "hook": {"resource": {"addr": address}, "action": action, **more}}


def error(summary, address=""):
    return {"type": "diagnostic", "diagnostic": {"severity": "error", "summary": summary, "address": address}}


BEGUN = hook("apply_start")
DONE = hook("apply_complete", id_key="id", id_value="id-1")
FAILED = hook("apply_errored")
SILENT = error("Plugin did not respond")


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ([], {}),
        ([BEGUN], {"a.web": None}),
        ([BEGUN, DONE], {"a.web": "id-1"}),
        ([BEGUN, FAILED], {"a.web": None}),
        ([BEGUN, error("operation canceled"), FAILED], {"a.web": None}),
        ([BEGUN, FAILED, error("Request cancelled", "a.web")], {"a.web": None}),
        ([BEGUN, FAILED, error("QuotaExceeded", "a.web")], {}),
        ([BEGUN, FAILED, SILENT], {"a.web": None}),
        ([BEGUN, FAILED, SILENT, error("QuotaExceeded", "a.web")], {}),
        ([hook("apply_start", action="delete")], {}),
        ([hook("apply_start", action="update")], {}),
        ([BEGUN, DONE, hook("apply_start", action="delete"), hook("apply_complete", action="delete")], {}),
        ([hook("apply_complete", action="delete"), BEGUN], {"a.web": None}),
        ([BEGUN, DONE, hook("apply_start", "a.db")], {"a.web": "id-1", "a.db": None}),
        (["not json", None, {"type": "apply_start", "hook": "misshapen"}], {}),
    ],
)
def test_the_journal_knows_what_exists_and_what_may_exist(said, made):
    journal = Journal()
    for message in said:
        journal.take(message)

    assert journal.made() == made


def test_a_hook_without_a_resource_changes_nothing():
    journal = Journal()

    journal.take({"type": "apply_start", "hook": {"action": "create"}})

    assert journal.made() == {}


def test_what_viewers_saw_stands_for_a_journal_that_is_lost():
    shown = [
        {"address": "a.done", "action": "create", "state": "done", "id_key": "id", "id_value": "id-1"},
        {"address": "a.half", "action": "replace", "state": "running", "id_key": "", "id_value": ""},
        {"address": "a.later", "action": "create", "state": "planned", "id_key": "", "id_value": ""},
        {"address": "a.changed", "action": "update", "state": "running", "id_key": "id", "id_value": "id-4"},
    ]

    assert Journal.as_shown(shown).made() == {"a.done": "id-1", "a.half": None}


@pytest.mark.parametrize(
    ("made", "held", "orphans"),
    [
        ("id-1", {}, {"a.web": "id-1"}),
        ("id-1", {"a.web": "id-1"}, {}),
        ("id-2", {"a.web": "id-1"}, {"a.web": "id-2"}),  # the state still holds what was replaced
        (None, {"a.web": "id-1"}, {"a.web": None}),
        ("id-1", {"a.web": None}, {}),
        ("id-1", {"a.web": "***"}, {}),
    ],
)
def test_an_object_is_an_orphan_unless_the_state_holds_that_very_one(made, held, orphans):
    found = [SimpleNamespace(address=address, provider_id=provider_id) for address, provider_id in held.items()]

    assert _orphans(Outcome(None, "killed", canceled=False, created={"a.web": made}), found) == orphans


def test_a_state_file_that_terraform_only_locked_is_no_state(tmp_path):
    folder = Workdir(tmp_path)
    folder.module.mkdir()
    folder.state.touch()

    assert folder.read_state() is None
