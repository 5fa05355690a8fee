"""What an approval is bound to, what Terraform is given again and keeps nowhere, and how much it may use."""

import hashlib
import io
import zipfile

import pytest

from opsplatform.core.db import reading
from opsplatform.runs import files
from opsplatform.states import service as states

NAME = {"id": "TextField-name", "label": "名称", "required": True}
TOKEN = {"id": "TextField-token", "label": "令牌", "required": True}
DIGEST = {"id": "TextField-digest", "label": "摘要", "required": True}
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def asked(house):
    """An approval that asks for an account with a token, and was planned."""
    code = house.simulator.add_template("令牌", [NAME, TOKEN, DIGEST], process_code="PROC-EPHEMERAL")
    values = {"名称": "db", "令牌": SECRET, "摘要": hashlib.sha256(SECRET.encode()).hexdigest()}
    instance_id = house.submit(values, process_code=code)
    house.work()
    return instance_id


def test_the_approval_keeps_the_digest_its_comment_shows(house):
    instance_id = house.submit()
    house.work()
    undecided = house.api.approval(instance_id)
    (comment,) = house.simulator.comments(instance_id)

    house.agree(instance_id)
    house.work()

    run, approval = house.api.run_of(instance_id), house.api.approval(instance_id)
    assert undecided["approved_plan"] is None
    assert approval["approved_plan"]["run_id"] == run["id"]
    assert approval["approved_plan"]["digest"] == run["plan"]["digest"]
    assert approval["approved_plan"]["short"] in comment
    assert approval == house.api.call("approval.get", id=approval["id"])


def test_an_ephemeral_value_reaches_plan_and_apply_and_is_kept_nowhere(house, asked):
    planned = house.api.run_of(asked)
    with house.context(), reading():
        kept = files.fetch_all(planned["id"])

    house.agree(asked)
    house.work()

    run = house.api.run_of(asked)
    with house.context(), reading():
        state = states.latest(run["workspace"]).content
    shown = [
        run,
        house.api.call("run.plan", id=run["id"]),
        house.api.call("run.log", id=run["id"]),
        house.api.approval(asked),
        house.simulator.comments(asked),
        house.simulator.notifications(),
    ]
    assert (run["status"], run["error"]) == ("applied", None)  # the module compares the token with its digest
    assert run["variables"]["token"] == "***"
    assert SECRET not in str(shown)
    assert SECRET.encode() not in unpacked(kept[files.PLAN]) + kept[files.PLAN_JSON] + state


def test_a_plan_that_wants_more_memory_than_its_offer_allows_ends_errored_and_says_so(house):
    code = house.simulator.add_template("饥饿", [NAME], process_code="PROC-HUNGRY")
    instance_id = house.submit({"名称": "web"}, process_code=code)
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert run["error"] == "terraform plan: was stopped because it used more memory than 256 MB."


def unpacked(plan):
    """All that a plan file holds."""
    with zipfile.ZipFile(io.BytesIO(plan)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())
