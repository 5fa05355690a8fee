"""Terraform itself against the http backend, over a real socket."""

import json

from opsplatform.core.db import transaction
from opsplatform.states import service

SERVER = """
resource "terraform_data" "server" {
  input = "web"
}
output "server_id" {
  value = terraform_data.server.id
}
"""

FLEET = """
resource "terraform_data" "fleet" {
  count = 1000
  input = "server-${count.index}"
}
"""


SLOW = """
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "until [ -e go ]; do sleep 0.05; done"
  }
}
"""


class WhenStarted:
    """Does something as soon as Terraform says that it begins with a resource."""

    def __init__(self, action):
        self._action = action

    def started(self, pid, start_time):
        pass

    def lines(self, lines):
        if self._action and any('"apply_start"' in line.text for line in lines):
            action, self._action = self._action, None
            action()

    def wants_stop(self):
        return False


def test_what_is_applied_is_stored_and_a_second_plan_finds_nothing_to_do(http_run, states_app):
    run = http_run(SERVER)

    done = [run.init(), run.plan(), run.apply()]
    again = run.plan()

    assert [finished.first_error for finished in done] == ["", "", ""]
    assert again.code == 0
    with states_app.app_context():
        stored = service.latest("web")
        workspace = service.get("web")
    [server] = service.resources_of(stored.content)
    assert server.address == "terraform_data.server"
    assert server.provider_id == service.outputs_of(stored.content)["server_id"]["value"]
    assert (workspace.resource_count, workspace.lock_id, stored.run_id) == (1, None, 7)
    assert not (run.folder / "terraform.tfstate").exists()


def test_a_destroy_leaves_an_empty_state_and_the_history(http_run, states_app):
    run = http_run(SERVER)
    run.init()
    run.plan()
    run.apply()

    run.plan(destroy=True)
    destroyed = run.apply()

    assert destroyed.succeeded
    with states_app.app_context():
        assert service.resources_of(service.latest("web").content) == []
        assert service.get("web").resource_count == 0


def test_a_lock_that_is_held_is_told_plainly(http_run, states_app):
    run = http_run(SERVER)
    run.init()
    with states_app.app_context(), transaction():
        workspace = service.get("web")
        workspace.lock_id, workspace.lock_info = "another", {"ID": "another", "Who": "somebody"}

    planned = run.plan()

    assert not planned.succeeded
    assert planned.first_error.startswith("Error acquiring the state lock: ")
    assert "already locked: ID=another" in planned.first_error


def test_a_run_that_does_not_hold_the_workspace_gets_nothing(http_run, states_app):
    with states_app.app_context():
        stranger = ("8", service.state_credential("web", 8, 1))

    done = http_run(SERVER, credential=stranger).init()

    assert not done.succeeded
    assert "403" in done.first_error or "invalid auth" in done.first_error


def test_a_hold_that_is_lost_while_applying_leaves_the_state_with_the_run(http_run, states_app):
    run = http_run(SLOW)
    run.init()
    run.plan()

    def take_away():
        with states_app.app_context(), transaction():
            service.force_unlock("web")
        (run.folder / "go").touch()

    applied = run.apply(watch=WhenStarted(take_away))

    assert not applied.succeeded
    assert [step.address for step in applied.journal] == ["terraform_data.slow"]
    errored = (run.folder / "errored.tfstate").read_bytes()
    assert json.loads(errored)["resources"]
    with states_app.app_context():
        assert service.latest("web") is None
        with transaction():
            service.hold("web", 7, fence=3)
            imported = service.store("web", errored, run_id=7)
    assert imported


def test_a_thousand_resources_are_stored(http_run, states_app):
    run = http_run(FLEET)
    run.init()
    run.plan()

    applied = run.apply()

    assert applied.succeeded
    assert len(applied.journal) == 1000
    with states_app.app_context():
        found = service.resources_of(service.latest("web").content)
    assert len({resource.address for resource in found}) == 1000
    assert {resource.address: resource.provider_id for resource in found} == {
        step.address: step.id_value for step in applied.journal
    }
