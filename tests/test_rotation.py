"""Key rotation: every sealed value gets the new key while work goes on, and then the old key can go."""

import itertools
import subprocess
import sys

import pytest
from sqlalchemy import select, update

from config import child_environment
from opsplatform import rotation
from opsplatform.app import SEALED
from opsplatform.catalog import service as catalog
from opsplatform.core import rpc_answers
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import OpsError
from opsplatform.core.sealing import SealError
from opsplatform.runs import files, service
from opsplatform.runs.models import Run, RunFile, RunStatus
from opsplatform.runs.service import Applicant
from opsplatform.states import service as states
from tests.miniatures import a_platform, rows
from tests.support import ROOT, SECRETS

OLD = SECRETS["seal_keys"]
NEW = "n:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


@pytest.fixture
def platform_with(make_config, clean_up):
    """Build the application on the same database with other keys; its context stays open until the test asks again."""
    contexts = []

    def build(keys):
        for context in contexts:
            context.pop()
        platform = a_platform(make_config(seal_keys=keys))
        clean_up(platform.app)
        contexts[:] = [platform.context()]
        contexts[0].push()
        return platform

    yield build
    contexts[0].pop()


def order(platform, workspace):
    """A run with its sealed variables and plan."""
    made = catalog.order_for("demo-server", {"name": workspace, "size": "small"})
    with transaction():
        run_id = service.queue_run(
            made, Applicant("zhangsan", "张三"), origin=f"test:{workspace}", workspace=workspace
        ).id
    platform.do("runs.work")
    return run_id


def agree(platform, run_id):
    with transaction():
        service.decide(service.get(run_id), approved=True, approvers=[])
    platform.do("runs.work")
    return rows(Run, Run.id == run_id)[0].status


def remember(user_id, answer):
    with transaction():
        rpc_answers.Request(user_id, "run.confirm", "request-1", {}).remember(answer)


def recall(user_id):
    return rpc_answers.Request(user_id, "run.confirm", "request-1", {}).recall()


def something_everywhere(platform):
    """Sealed values in every column, under the key of this platform: two runs, one of them applied, and an answer."""
    applied, planned = order(platform, "web"), order(platform, "db")
    assert agree(platform, applied) == RunStatus.APPLIED
    remember(1, b"answer")
    assert all(rotation.census().values())
    return planned


def keys_in_use():
    return {name for keys in rotation.census().values() for name in keys}


def values(sealed):
    db.session.rollback()
    return list(db.session.scalars(select(sealed.column)))


def test_after_a_rotation_everything_opens_without_the_old_key(platform_with):
    planned = something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    before = {rotation._table(sealed): len(values(sealed)) for sealed in SEALED}

    list(rotation.rotate())

    platform = platform_with(NEW)
    assert rotation.census() == {table: {"n": count} for table, count in before.items()}
    assert recall(1) == b"answer"
    assert states.latest("web").serial == 1
    assert agree(platform, planned) == RunStatus.APPLIED


def test_without_a_rotation_the_old_key_is_needed(platform_with):
    planned = something_everywhere(platform_with(OLD))

    platform_with(NEW)

    with pytest.raises(SealError):
        files.fetch(planned, files.PLAN)
    with pytest.raises(OpsError, match="still sealed with t"):
        rotation.require_done()


def test_a_value_that_is_written_meanwhile_is_not_overwritten(platform_with, monkeypatch):
    planned = something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    sealed_again = rotation._sealed_again

    def while_a_worker_writes(value):
        if value.key == (planned, files.LOCK):
            with transaction():
                files.keep(planned, files.LOCK, b"written meanwhile")
        return sealed_again(value)

    monkeypatch.setattr(rotation, "_sealed_again", while_a_worker_writes)

    told = list(rotation.rotate())

    assert files.fetch(planned, files.LOCK) == b"written meanwhile"
    assert sum(progress.kept for progress in told if progress.table == "run_file") == 1
    assert keys_in_use() == {"n"}


def test_a_value_that_is_deleted_meanwhile_stays_deleted(platform_with, monkeypatch):
    planned = something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    sealed_again = rotation._sealed_again

    def while_a_worker_drops(value):
        if value.key == (planned, files.PLAN):
            with transaction():
                files.drop(planned, files.PLAN)
        return sealed_again(value)

    monkeypatch.setattr(rotation, "_sealed_again", while_a_worker_drops)

    list(rotation.rotate())

    assert files.fetch(planned, files.PLAN) is None
    assert keys_in_use() == {"n"}


def test_a_rotation_that_was_stopped_goes_on_where_it_was(platform_with, monkeypatch):
    something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    monkeypatch.setattr(rotation, "BATCH", 1)
    before = {value for sealed in SEALED for value in values(sealed)}
    list(itertools.islice(rotation.rotate(), 3))
    done = {value for sealed in SEALED for value in values(sealed)} - before

    told = list(rotation.rotate())

    after = {value for sealed in SEALED for value in values(sealed)}
    assert len(done) == 3
    assert done < after
    assert before.isdisjoint(after)
    assert max(progress.sealed for progress in told if progress.table == "run_file") == len(values(files.SEALED)) - 2


def test_a_second_rotation_finds_nothing_to_do(platform_with):
    something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    list(rotation.rotate())

    assert list(rotation.rotate()) == []


def test_a_value_that_does_not_open_is_passed_over_and_told(platform_with):
    planned = something_everywhere(platform_with(OLD))
    platform_with(f"{NEW},{OLD}")
    with transaction():
        other = select(RunFile.sealed).where(RunFile.run_id == planned, RunFile.name == files.VARIABLES)
        misplaced = db.session.scalar(other)
        db.session.execute(
            update(RunFile).where(RunFile.run_id == planned, RunFile.name == files.LOCK).values(sealed=misplaced)
        )

    told = list(rotation.rotate())

    assert max(progress.broken for progress in told if progress.table == "run_file") == 1
    assert rotation.census()["run_file"]["t"] == 1
    with pytest.raises(OpsError, match="still sealed with t"):
        rotation.require_done()


def test_a_column_that_holds_something_unsealed_is_named(platform_with):
    planned = something_everywhere(platform_with(OLD))
    with transaction():
        db.session.execute(update(RunFile).where(RunFile.run_id == planned).values(sealed=b"in clear"))

    with pytest.raises(OpsError, match="run_file holds a value that is not sealed"):
        rotation.census()


def test_work_goes_on_between_the_batches(platform_with, monkeypatch):
    planned = something_everywhere(platform_with(OLD))
    platform = platform_with(f"{NEW},{OLD}")
    monkeypatch.setattr(rotation, "BATCH", 1)
    batches = rotation.rotate()

    next(batches)
    late = order(platform, "late")
    next(batches)
    assert agree(platform, planned) == RunStatus.APPLIED
    list(batches)

    assert agree(platform, late) == RunStatus.APPLIED
    assert keys_in_use() == {"n"}


def test_the_command_says_what_it_did_and_the_check_changes_nothing(platform_with, make_config):
    something_everywhere(platform_with(OLD))
    config = make_config()
    both = command(config, f"{NEW},{OLD}", "--check")

    rotated = command(config, f"{NEW},{OLD}")
    after = command(config, NEW, "--check")

    assert "answered_call: 1 with t\n" in both.stdout
    assert "answered_call: 1 sealed again, 0 changed meanwhile\n" in rotated.stdout
    assert rotated.returncode == 0
    assert "answered_call: 1 with n\n" in after.stdout


def test_the_command_fails_where_values_keep_another_key(platform_with, make_config):
    something_everywhere(platform_with(OLD))

    done = command(make_config(), NEW)

    assert done.returncode == 1
    assert "answered_call: 0 sealed again, 0 changed meanwhile, 1 DO NOT OPEN" in done.stdout
    assert done.stderr.startswith("Values are still sealed with t: ")


def command(config, keys, *options):
    """`manage.py seal rotate` on the database of these settings."""
    env = child_environment(
        ops_env="testing",
        database_url=config.database,
        ops_data_dir=config.data_dir,
        secret_key=SECRETS["secret_key"],
        seal_keys=keys,
    )
    words = [sys.executable, "manage.py", "seal", "rotate", *options]
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
