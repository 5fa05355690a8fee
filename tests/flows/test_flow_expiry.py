"""A plan that waits for its approval: for weeks, but not for ever."""

import datetime as dt

from sqlalchemy import update


def test_a_plan_nobody_decides_on_is_announced_and_then_discarded(house):
    instance_id = house.submit()
    house.work()

    pass_days(house, 28)
    warned = str(house.simulator.notifications())
    waiting = house.api.run_of(instance_id)
    pass_days(house, 3)

    run = house.api.run_of(instance_id)
    assert waiting["status"] == "planned"
    assert "即将过期" in warned
    assert run["status"] == "discarded"
    assert "已过期" in str(house.simulator.notifications())


def test_an_agreement_after_the_expiry_opens_nothing(house):
    instance_id = house.submit()
    house.work()
    pass_days(house, 31)

    house.agree(instance_id)
    house.work()

    assert house.api.run_of(instance_id)["status"] == "discarded"
    assert house.api.resources_of(instance_id) == []


def pass_days(house, days):
    """Let every plan have been made this much earlier, and do what the scheduler does hourly."""
    from opsplatform.core.db import db, transaction
    from opsplatform.runs.models import Run
    from opsplatform.runs.tasks import expire

    with house.context():
        with transaction():
            for run in db.session.query(Run):
                db.session.execute(
                    update(Run).where(Run.id == run.id).values(planned_at=run.planned_at - dt.timedelta(days=days))
                )
        expire()
    house.work()
