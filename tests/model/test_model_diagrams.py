"""The diagrams in docs/promise.md are made from the tables, and a stale page is noticed."""

import pytest

from opsplatform import apidocs
from opsplatform.approvals.models import MACHINE as APPROVAL
from opsplatform.approvals.models import ApprovalStatus
from opsplatform.core.errors import OpsError
from opsplatform.core.machines import Cause
from opsplatform.runs.models import ENDS, NEXT, RunStatus
from opsplatform.runs.models import MACHINE as RUN


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A copy of the page, to be spoilt."""
    copy = tmp_path / "promise.md"
    copy.write_text(apidocs.STATES_PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(apidocs, "STATES_PAGE", copy)
    monkeypatch.setattr(apidocs, "PAGE", tmp_path / "api.md")
    return copy


def test_the_page_is_fresh():
    text = apidocs.STATES_PAGE.read_text(encoding="utf-8")

    assert text == apidocs.render_states(text)


def test_a_stale_page_is_noticed_and_made_again_around_what_people_wrote(page):
    apidocs.write()
    fresh = page.read_text(encoding="utf-8")
    page.write_text(fresh.replace("    planning --> planned: worker\n", ""), encoding="utf-8")

    with pytest.raises(OpsError, match=r"promise\.md is not fresh; run: make docs"):
        apidocs.check()

    apidocs.write()
    apidocs.check()
    assert page.read_text(encoding="utf-8") == fresh


def test_a_page_without_its_marks_says_what_is_missing():
    with pytest.raises(OpsError, match="lacks the lines between which its states stand"):
        apidocs.render_states("# The promise\n")


@pytest.mark.parametrize(("machine", "statuses"), [(RUN, RunStatus), (APPROVAL, ApprovalStatus)])
def test_every_status_and_every_move_stands_in_diagram_and_table(machine, statuses):
    diagram, table = "\n".join(machine.diagram()), "\n".join(machine.table())

    assert all(f" --> {status}" in diagram for status in statuses)
    for move in machine.moves:
        assert f"{move.source} --> {move.target}: " in diagram
        assert f"| {move.source} | {move.target} | {move.cause} | {move.guard} |" in table


def test_a_machine_knows_what_follows_who_may_and_where_it_ends():
    assert RUN.after("applying") == {"applied", "canceled", "errored"}
    assert RUN.after("applied") == frozenset()
    assert RUN.causes("applying", "errored") == {Cause.WORKER, Cause.SWEEPER}
    assert RUN.causes("applied", "applying") == frozenset()
    assert {status for status in RunStatus if status not in NEXT} == ENDS
