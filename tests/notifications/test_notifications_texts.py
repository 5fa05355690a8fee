"""The texts people get: what they must hold to be of use."""

import pytest

from opsplatform.notifications import texts

RUN = {
    "id": 7,
    "module": "demo-server",
    "workspace": "web",
    "environment": "demo",
    "plan": {"add": 3, "change": 2, "destroy": 1, "summary": "+ a.b"},
    "short_digest": "0123-4567-89ab-cdef",
    "outputs": {"server_id": "id-1", "key": "***"},
    "error": "Quota used up.",
    "approval": {"business_id": "2026"},
}


def test_the_plan_comment_holds_what_an_approver_decides_on():
    text = texts.plan_ready(RUN)

    assert all(part in text for part in ("add 3, change 2, destroy 1", "+ a.b", "0123-4567-89ab-cdef", "demo-server"))


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (texts.applied, "server_id: id-1"),
        (texts.nothing_to_do, "Nothing had to be changed"),
        (texts.failed, "Quota used up."),
        (texts.needs_confirmation, "0123-4567-89ab-cdef"),
    ],
)
def test_a_notification_says_what_happened_to_which_run_and_approval(make, part):
    title, text = make(RUN)

    assert title
    assert part in text
    assert "#7" in title + text
    assert "2026" in text


@pytest.mark.parametrize("approval", [None, {}, {"business_id": None}])
def test_a_run_without_an_approval_names_none(approval):
    assert "审批编号" not in texts.failed({**RUN, "approval": approval})[1]


def test_a_run_that_made_no_outputs_and_a_failure_without_words_can_be_told():
    assert texts.applied({**RUN, "outputs": None})[1]
    assert texts.failed({**RUN, "error": None})[1]


def test_a_long_error_is_cut():
    assert len(texts.failed_comment({**RUN, "error": "x" * 5000})) < 300


def test_a_form_that_does_not_fit_names_form_and_reason():
    _title, text = texts.form_does_not_fit("申请服务器", "规格: must be small")

    assert "申请服务器" in text
    assert "规格: must be small" in text
