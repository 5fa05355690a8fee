"""The machine misbehaves: no Terraform, no provider, a killed one, a full disk, a database locked or restarted."""

import os
import signal
import sqlite3
import subprocess
import threading

import pytest
from sqlalchemy import create_engine, text

from tests.flows.conftest import wait_for
from tests.support import KIND, SERVERS


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for nothing much."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_without_terraform_the_run_says_what_to_install(house):
    house.app.extensions["adapters"] = without_terraform(house)

    instance_id = house.submit()
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert "TERRAFORM_BIN" in run["error"]


def test_a_provider_that_cannot_be_had_is_named(house):
    house.api.call("module.bind", name="aliyun-oss", process_code="PROC-OSS", fields={"bucket": "TextField-1"})
    code = house.simulator.add_template("存储桶", [{"id": "TextField-1", "label": "名称"}], process_code="PROC-OSS")

    instance_id = house.submit({"名称": "backup-of-team-a"}, process_code=code)
    house.work()

    run = house.api.run_of(instance_id)
    assert run["status"] == "errored"
    assert run["error"].startswith("terraform init: ")
    assert "alicloud" in run["error"]


def test_a_terraform_that_is_killed_ends_the_run_with_what_exists(house):
    code = house.simulator.add_template(
        "慢", [{"id": "NumberField-seconds", "label": "秒", "type": "NumberField"}], process_code="PROC-SLOW"
    )
    instance_id = house.submit({"秒": 50}, process_code=code)
    house.work()
    house.agree(instance_id)
    working = threading.Thread(target=house.work)
    working.start()
    run = house.api.run_of(instance_id)
    wait_for(lambda: "running" in str(house.api.call("run.watch", id=run["id"])["resources"]), "the second resource")

    (folder,) = (house.app.extensions["settings"].data_dir / "runs").glob(f"{run['id']}-*")
    os.kill(int((folder / "process").read_text().split()[0]), signal.SIGKILL)
    working.join(30)

    ended = house.api.run_of(instance_id)
    assert ended["status"] == "errored"
    assert "signal 9" in ended["error"]
    assert "terraform_data.first" in [r["address"] for r in house.api.resources_of(instance_id)]


def test_a_full_disk_ends_the_run_and_leaves_nothing(house, small_disk):
    runs = house.app.extensions["settings"].data_dir / "runs"
    runs.mkdir()
    subprocess.run(["mount", "--bind", small_disk, runs], check=True)
    (runs / "filler").write_bytes(b"x" * 60_000)
    try:
        instance_id = house.submit()
        house.work()

        run = house.api.run_of(instance_id)
        assert run["status"] == "errored"
        assert "No space left" in run["error"] or "space" in run["error"]
        assert [path.name for path in runs.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", "-l", runs], check=True)


@pytest.mark.skipif(KIND != "sqlite", reason="a lock on the file is SQLite's")
def test_a_locked_database_delays_an_event_and_loses_nothing(house):
    path = house.app.extensions["settings"].database.removeprefix("sqlite:///")
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN EXCLUSIVE")
    free = threading.Timer(1.0, locker.execute, ["COMMIT"])
    free.start()

    instance_id = house.submit()
    house.work()

    free.join()
    locker.close()
    assert house.api.run_of(instance_id)["status"] == "planned"


@pytest.mark.skipif(KIND != "postgresql", reason="connections are ended through PostgreSQL")
def test_a_database_that_drops_every_connection_is_used_again(house):
    house.api.call("resource.list")
    engine = create_engine(SERVERS["postgresql"])
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
    engine.dispose()

    instance_id = house.submit()
    house.work()

    assert house.api.run_of(instance_id)["status"] == "planned"


def without_terraform(house):
    """The adapters of a machine that has no Terraform."""
    from opsplatform.adapters.registry import Adapters
    from opsplatform.adapters.terraform import Terraform, find_terraform

    data = house.app.extensions["settings"].data_dir
    return Adapters(
        dingtalk=house.app.extensions["adapters"].dingtalk,
        terraform=lambda: Terraform(find_terraform("/nowhere/terraform", data)),
    )
