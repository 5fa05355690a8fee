"""The application on miniatures of DingTalk and Terraform, and runs ordered there."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from opsplatform.catalog import service as catalog
from opsplatform.core.db import transaction
from opsplatform.runs import service
from opsplatform.runs.models import Run
from opsplatform.runs.service import Applicant
from tests.miniatures import Platform, platform, rows

__all__ = ["platform"]

REFERENCE = {"id": 5, "instance_id": "PI-1", "business_id": "2026", "title": "申请服务器", "url": None}


@pytest.fixture
def order_run(platform: Platform) -> Callable[..., int]:
    """Order a run and answer its id; what is given replaces what the order of the shipped module says."""
    number = count(1)

    def order(
        workspace: str = "web",
        *,
        kind: str = "create",
        applicant: str = "zhangsan",
        approval: Any = REFERENCE,
        limits: dict[str, Any] | None = None,
        **more: Any,
    ) -> int:
        made = catalog.order_for("demo-server", {"name": "web-01", "size": "small"})
        made = replace(made, limits=replace(made.limits, **(limits or {})), **more)
        who = Applicant(applicant, "张三", approval)
        with transaction():
            origin = f"test:{next(number)}"
            return service.queue_run(made, who, origin=origin, workspace=workspace, kind=kind).id

    return order


@pytest.fixture
def run_of(platform: Platform) -> Callable[[int], Run]:
    """The run as it stands in the database now."""
    return lambda run_id: rows(Run, Run.id == run_id)[0]


@pytest.fixture
def planned(platform: Platform, order_run: Callable[..., int]) -> Callable[..., int]:
    """Order a run and plan it; answers its id."""

    def make(**more: Any) -> int:
        run_id = order_run(**more)
        platform.waiting()
        platform.do("runs.work")
        return run_id

    return make


@pytest.fixture
def approved(planned: Callable[..., int], decide: Callable[..., None]) -> Callable[..., int]:
    """Order a run, plan it and agree; answers its id."""

    def make(**more: Any) -> int:
        run_id = planned(**more)
        decide(run_id, approved=True)
        return run_id

    return make


@pytest.fixture
def decide(platform: Platform) -> Callable[..., None]:
    """Let 王经理 decide on a run."""

    def take(run_id: int, *, approved: bool) -> None:
        with transaction():
            service.decide(service.get(run_id), approved=approved, approvers=[{"userid": "manager1", "name": "王经理"}])

    return take
