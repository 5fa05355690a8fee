"""The sealed files of a run, and the folder it works in."""

import stat
import subprocess
from pathlib import Path

import pytest

from opsplatform.adapters.process_table import start_time_of
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import UpstreamError
from opsplatform.core.sealing import SealError
from opsplatform.runs import files, workdir
from opsplatform.runs.models import RunFile
from tests.miniatures import TerraformMiniature

MODULE = (("main.tf", b"# main\n"), ("templates/user-data", b"x"))


@pytest.fixture
def run_id(platform, order_run):
    return order_run()


def test_a_file_comes_back_as_it_was_kept_and_the_last_one_counts(run_id):
    with transaction():
        files.keep(run_id, files.PLAN, b"first")
        files.keep(run_id, files.PLAN, b"second")

    assert files.fetch(run_id, files.PLAN) == b"second"


def test_a_file_lies_sealed_in_the_database(run_id):
    with transaction():
        files.keep(run_id, files.PLAN, b"hunter2-hunter2")

    assert b"hunter2" not in db.session.get(RunFile, (run_id, files.PLAN)).sealed


def test_a_file_put_in_the_place_of_another_does_not_open(run_id):
    with transaction():
        files.keep(run_id, files.PLAN, b"plan")
        db.session.get(RunFile, (run_id, files.VARIABLES)).sealed = db.session.get(RunFile, (run_id, files.PLAN)).sealed

    with pytest.raises(SealError):
        files.fetch(run_id, files.VARIABLES)


def test_a_dropped_file_is_gone(run_id):
    with transaction():
        files.keep(run_id, files.PLAN, b"plan")
    with transaction():
        files.drop(run_id, files.PLAN)

    assert files.fetch(run_id, files.PLAN) is None


def test_a_folder_holds_the_module_and_keeps_values_apart_from_it(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)

    workdir.render(folder, MODULE, variables=b"{}", backend="local", state=b"state")

    assert (folder.module / "templates" / "user-data").read_bytes() == b"x"
    assert folder.variables.parent != folder.module
    assert stat.S_IMODE(folder.variables.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.state.stat().st_mode) == 0o600
    assert not (folder.module / "opsplatform_backend.tf").exists()


def test_a_folder_with_the_state_at_the_platform_holds_no_state(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)

    workdir.render(folder, MODULE, variables=b"{}", backend="http", state=b"state")

    assert not folder.state.exists()
    assert b'backend "http"' in (folder.module / "opsplatform_backend.tf").read_bytes()


def test_what_an_earlier_attempt_left_is_gone_before_the_next(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)
    workdir.render(folder, [("old.tf", b"")], variables=b"{}", backend="local", state=None)

    workdir.render(folder, MODULE, variables=b"{}", backend="local", state=None)

    assert not (folder.module / "old.tf").exists()
    folder.remove()
    assert not folder.root.exists()


def test_the_process_that_works_in_a_folder_is_found_again(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)
    folder.module.mkdir(parents=True)

    folder.note_process(4711, "12:00 today")

    assert folder.read_process() == (4711, "12:00 today")


def test_a_process_whose_worker_died_before_it_noted_it_is_found_too(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)
    folder.module.mkdir(parents=True)
    before = folder.find_process()
    child = subprocess.Popen(["sleep", "60"], cwd=folder.module, start_new_session=True)

    found = folder.find_process()

    assert before is None
    assert found == (child.pid, start_time_of(child.pid))
    assert workdir.alive(tmp_path) == {7: child.pid}
    child.kill()
    child.wait()
    assert folder.find_process() is None


@pytest.mark.parametrize("note", [None, "", "4711"])
def test_a_folder_without_a_whole_note_has_no_process(tmp_path, note):
    folder = workdir.folder_of(tmp_path, 7, 2)
    folder.module.mkdir(parents=True)
    if note is not None:
        (folder.root / "process").write_text(note)

    assert folder.read_process() is None


def test_the_output_is_read_line_by_line_and_may_be_missing(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)
    folder.module.mkdir(parents=True)
    before = folder.read_output()

    (folder.module / "stdout").write_bytes(b"one\n\xff\n")

    assert before == []
    assert folder.read_output() == ["one", "\ufffd"]


def test_a_state_that_could_not_be_delivered_goes_before_the_one_that_was_kept(tmp_path):
    folder = workdir.folder_of(tmp_path, 7, 2)
    folder.module.mkdir(parents=True)
    nothing = folder.read_state()
    folder.state.write_bytes(b"kept")
    kept = folder.read_state()
    (folder.module / workdir.ERRORED_STATE).write_bytes(b"undelivered")

    assert (nothing, kept, folder.read_state()) == (None, b"kept", b"undelivered")


def test_the_last_folder_of_a_run_is_the_one_with_the_highest_fence(tmp_path):
    for fence in (2, 10, 9):
        workdir.folder_of(tmp_path, 7, fence).module.mkdir(parents=True)
    workdir.folder_of(tmp_path, 77, 11).module.mkdir(parents=True)

    assert workdir.last_folder_of(tmp_path, 7).root.name == "7-10"
    assert workdir.last_folder_of(tmp_path, 8) is None


def test_a_module_version_is_initialised_once_for_each_backend(tmp_path):
    terraform = TerraformMiniature()

    first = warm(terraform, tmp_path, state_env={})
    again = warm(terraform, tmp_path, state_env={})
    other = warm(terraform, tmp_path, state_env={"TF_HTTP_ADDRESS": "http://x"})

    assert first == again != other
    assert terraform.inits == [first, other]


def test_an_init_that_failed_is_tried_again_the_next_time(tmp_path):
    terraform = TerraformMiniature()
    terraform.error = "init: no such provider"
    with pytest.raises(UpstreamError, match="terraform init: init: no such provider"):
        warm(terraform, tmp_path, state_env={})
    terraform.error = ""

    assert (warm(terraform, tmp_path, state_env={}) / ".ready").is_file()


def test_who_waited_for_the_lock_finds_the_folder_ready(tmp_path, monkeypatch):
    terraform = TerraformMiniature()
    alone = workdir._alone

    def after_somebody_else(folder, key):
        with alone(folder, key):
            ready = folder / f"{key}-local" / ".ready"
            ready.parent.mkdir(parents=True)
            ready.touch()
        return alone(folder, key)

    monkeypatch.setattr(workdir, "_alone", after_somebody_else)

    assert warm(terraform, tmp_path, state_env={}).is_dir()
    assert terraform.inits == []


def warm(terraform: TerraformMiniature, folder: Path, state_env: dict[str, str]) -> Path:
    return workdir.warm(terraform, folder, "demo-1", MODULE, state_env=state_env)
