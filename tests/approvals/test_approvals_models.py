"""The life of an approval, from the table itself."""

import pytest

from opsplatform.approvals.models import NEXT, Approval, ApprovalStatus

LEGAL = [(now, to) for now, allowed in NEXT.items() for to in sorted(allowed)]
ILLEGAL = [(now, to) for now in ApprovalStatus for to in ApprovalStatus if to not in NEXT.get(now, frozenset())]


@pytest.mark.parametrize(("now", "to"), LEGAL)
def test_an_approval_takes_every_status_its_table_allows(now, to):
    approval = Approval(status=now)

    assert approval.move_to(to) is True

    assert approval.status == to


@pytest.mark.parametrize(("now", "to"), ILLEGAL)
def test_an_approval_stays_as_it_was_decided(now, to):
    approval = Approval(status=now)

    assert approval.move_to(to) is False

    assert approval.status == now


def test_the_table_speaks_of_every_status():
    assert {status for pair in LEGAL for status in pair} == set(ApprovalStatus)
