"""The provider as Terraform starts it from a mirror, like any real one, and what an interrupt or a kill leaves."""

import signal
import subprocess
from pathlib import Path

from tests.cloud.terraform import kill_session
from tests.flows.conftest import wait_for

TWO = """resource "fakecloud_server" "first" { name = "first" }
resource "fakecloud_server" "second" {
  name       = "second"
  depends_on = [fakecloud_server.first]
}
"""


def test_a_provider_from_the_mirror_does_the_whole_life_of_a_server(spawning, cloud):
    said = spawning.apply(TWO)
    planned = spawning.ok("plan", "-input=false")
    spawning.ok("destroy", "-auto-approve")

    assert "2 added" in said
    assert "No changes" in planned
    assert "Warning" not in said + planned
    assert [entry["op"] for entry in cloud.ledger()] == ["create", "create", "delete", "delete"]


def test_a_provider_leaves_no_process_and_no_file_behind(spawning):
    before = {path.name for path in spawning.folder.iterdir()}

    spawning.apply(TWO)

    assert {path.name for path in spawning.folder.iterdir()} - before == {"terraform.tfstate"}
    assert processes_in(spawning.folder) == set()


def test_an_interrupt_lets_the_creation_under_way_finish_and_starts_no_other(spawning, cloud):
    cloud.order("latency", op="create", stage="after", seconds=1.5)
    spawning.write(TWO)
    child = spawning.start("apply", "-auto-approve", "-input=false")
    wait_for(cloud.objects, "the first server")

    child.send_signal(signal.SIGINT)

    assert child.wait(30) == 1
    assert [made["name"] for made in cloud.objects()] == ["first"]
    assert spawning.ids() == {made["id"] for made in cloud.objects()}


def test_an_interrupt_that_reaches_the_provider_too_changes_nothing(spawning, cloud):
    cloud.order("latency", op="create", stage="after", seconds=1.5)
    spawning.write(TWO)
    child = spawning.start("apply", "-auto-approve", "-input=false")
    wait_for(cloud.objects, "the first server")

    for pid in processes_in(spawning.folder):
        subprocess.run(["kill", "-INT", str(pid)], check=True)

    assert child.wait(30) == 1
    assert spawning.ids() == {made["id"] for made in cloud.objects()}


def test_a_kill_leaves_in_the_cloud_what_the_ledger_says_though_the_state_does_not_know(spawning, cloud):
    cloud.order("hang", op="create", stage="after", name="second")
    spawning.write(TWO)
    child = spawning.start("apply", "-auto-approve", "-input=false")
    wait_for(lambda: len(cloud.objects()) == 2, "the second server")
    wait_for(lambda: "fakecloud_server.first" in spawning.state(), "the first server in the state")

    kill_session(child)

    first, second = (entry["id"] for entry in cloud.ledger("create"))
    assert spawning.ids() == {first}
    assert {made["id"] for made in cloud.objects()} == {first, second}


def test_a_lost_answer_that_is_not_asked_for_again_leaves_a_server_nobody_knows(spawning, cloud):
    spawning.env["FAKECLOUD_RETRIES"] = "0"
    cloud.order("lost", op="create", stage="after", name="first")
    spawning.write(TWO)

    said = spawning.fails("apply", "-auto-approve")

    assert "ConnectionLost" in said
    assert spawning.ids() == set()
    assert [made["name"] for made in cloud.objects()] == ["first"]


def processes_in(folder):
    """Processes that work in this folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve(strict=True) == folder.resolve():
                found.add(int(entry.name))
        except OSError:
            continue
    return found
