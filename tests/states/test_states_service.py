"""Who may hold a workspace, and what may be stored in it."""

import threading

import pytest
from sqlalchemy import select

from opsplatform.core.db import db, transaction
from opsplatform.core.errors import Conflict, InvalidParams, NotFound
from opsplatform.states import service
from opsplatform.states.models import StateVersion, Workspace

pytestmark = pytest.mark.usefixtures("held", "context")


def versions():
    return db.session.scalars(select(StateVersion).order_by(StateVersion.id)).all()


def keep(content, run_id=7, **more):
    with transaction():
        return service.store("web", content, run_id=run_id, **more)


def test_a_workspace_is_made_once():
    with transaction():
        first = service.open_workspace("api", module="demo-server", environment="test").id
    with transaction():
        second = service.open_workspace("api", module="demo-server", environment="test").id

    assert first == second


def test_a_workspace_made_by_another_at_the_same_moment_is_found(monkeypatch):
    real, asked = service._by_name, []

    def blind_once(name):
        asked.append(name)
        return None if len(asked) == 1 else real(name)

    monkeypatch.setattr(service, "_by_name", blind_once)
    with transaction():
        found = service.open_workspace("web", module="demo-server", environment="test")

        assert found.holder_run_id == 7


@pytest.mark.parametrize("name", ["", "Web", "1web", "web_1", "../web", "web\n", "w" * 64])
def test_a_workspace_needs_a_plain_name(name):
    with transaction(), pytest.raises(InvalidParams):
        service.open_workspace(name, module="m", environment="e")


def test_a_workspace_belongs_to_one_module():
    with transaction(), pytest.raises(Conflict, match="belongs to module demo-server"):
        service.open_workspace("web", module="demo-fleet", environment="test")


def test_one_run_at_a_time_holds_a_workspace():
    with transaction():
        other = service.hold("web", 8, fence=1)
        same = service.hold("web", 7, fence=3)

    assert (other, same) == (False, True)


def test_a_released_workspace_goes_to_the_next_run():
    with transaction():
        service.release("web", 8)
        too_early = service.hold("web", 8, fence=1)
        service.release("web", 7)
        taken = service.hold("web", 8, fence=1)

    assert (too_early, taken) == (False, True)


def test_whoever_has_looked_at_a_workspace_sees_who_holds_it_now():
    with transaction():
        seen = service.get("web")
        service.release("web", 7)
        released = seen.holder_run_id
        service.hold("web", 8, fence=1)

        assert (released, seen.holder_run_id, seen.holder_fence) == (None, 8, 1)


def test_the_same_run_never_falls_back_to_an_older_fence():
    with transaction():
        newer = service.hold("web", 7, fence=4)
        older = service.hold("web", 7, fence=3)

    assert (newer, older) == (True, False)


def test_of_many_runs_at_once_exactly_one_gets_the_workspace(states_app):
    with transaction():
        service.release("web", 7)
    got, start = [], threading.Barrier(8)

    def take(run_id):
        with states_app.app_context():
            start.wait()
            with transaction():
                if service.hold("web", run_id, fence=1):
                    got.append(run_id)

    threads = [threading.Thread(target=take, args=(run_id,)) for run_id in range(100, 108)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 1
    assert service.get("web").holder_run_id == got[0]


def test_holding_what_does_not_exist_is_an_error():
    with transaction(), pytest.raises(NotFound):
        service.hold("nowhere", 1)


def test_no_run_starts_in_a_quarantined_workspace_until_a_person_says_so():
    with transaction():
        service.quarantine("web", "the state does not fit")
        same_run = service.hold("web", 7, fence=3)
        service.release("web", 7)
        next_run = service.hold("web", 8)
    with transaction():
        service.force_unlock("web")
        after = service.hold("web", 8)

    assert (same_run, next_run, after) == (True, False, True)


def test_there_is_no_state_before_the_first():
    assert service.latest("web") is None


def test_a_state_comes_back_byte_by_byte_and_lies_sealed(make_state):
    content = make_state(serial=3, outputs={"password": {"value": "hunter22", "sensitive": True, "type": "string"}})

    stored = keep(content)

    found = service.latest("web")
    assert stored
    assert (found.content, found.serial, found.lineage, found.run_id) == (content, 3, "one", 7)
    assert b"hunter22" not in versions()[0].sealed


def test_the_same_state_again_is_fine_and_kept_once(make_state):
    first = keep(make_state())
    again = keep(make_state())

    assert (first, again) == (True, False)
    assert len(versions()) == 1


def test_a_newer_state_is_a_new_version_and_the_old_one_stays(make_state):
    keep(make_state(serial=1))
    keep(make_state(serial=2))

    assert [version.serial for version in versions()] == [1, 2]
    assert service.latest("web").serial == 2


def test_a_run_may_rewrite_its_own_version(make_state):
    keep(make_state(serial=2))
    changed = make_state(serial=2, outputs={"a": {"value": 1, "type": "number"}})

    stored = keep(changed)

    assert stored
    assert len(versions()) == 1
    assert service.latest("web").content == changed


def test_another_run_may_not_rewrite_it(make_state):
    keep(make_state(serial=2))
    with transaction():
        service.release("web", 7)
        service.hold("web", 8)

    with pytest.raises(Conflict, match="Another run stored a different state"):
        keep(make_state(serial=2, outputs={"a": {"value": 1}}), run_id=8)


@pytest.mark.parametrize(
    ("lineage", "serial", "words"), [("two", 9, "has lineage two"), ("one", 4, "has serial 4, workspace web is at 5")]
)
def test_another_lineage_and_an_older_serial_are_refused(make_state, lineage, serial, words):
    keep(make_state(serial=5))

    with pytest.raises(Conflict, match=words):
        keep(make_state(serial=serial, lineage=lineage))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 4, "ser',
        b"[]",
        b'{"version": 3}',
        b'{"version": 4, "serial": 1}',
        b'{"version": 4, "serial": 1, "lineage": 5}',
        b'{"version": 4, "serial": 0, "x": {"lineage": ""}, "lineage": ""}',
        b'{"version": 4, "serial": -1, "lineage": "x"}',
        b'{"version": 4, "serial": true, "lineage": "x"}',
        b'{"version": 4, "serial": 1, "lineage": "x", "resources": 3}',
        b'{"version": 4, "serial": 1, "lineage": "x", "resources": [3]}',
        b'{"version": 4, "serial": 1, "lineage": "x", "resources": [{"mode": "managed", "instances": [{}]}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_state_is_refused(content):
    with pytest.raises(Conflict):
        keep(content)

    assert versions() == []


@pytest.mark.parametrize(("run_id", "fence"), [(8, 3), (7, 2), (7, 4)])
def test_only_the_holder_may_store(make_state, run_id, fence):
    with pytest.raises(service.NotHeld, match="does not hold workspace web any more"):
        keep(make_state(), run_id=run_id, fence=fence)


def test_a_sealed_state_opens_only_in_its_own_place(make_state):
    keep(make_state(serial=1))
    keep(make_state(serial=2))
    with transaction():
        first, second = versions()
        second.sealed = first.sealed

    with pytest.raises(Conflict, match="does not open"):
        service.latest("web")


def test_after_a_deletion_a_new_lineage_begins(make_state):
    keep(make_state(serial=5))
    with transaction():
        service.delete("web", run_id=7, fence=3)

    nothing = service.latest("web")
    keep(make_state(serial=1, lineage="two"))

    assert nothing is None
    assert service.latest("web").lineage == "two"
    assert len(versions()) == 2


def test_a_version_that_is_gone_is_not_taken_for_a_first_run(make_state):
    keep(make_state())
    with transaction():
        db.session.delete(versions()[0])

    with pytest.raises(Conflict, match="restore it from a backup"):
        service.latest("web")


def test_a_first_state_that_was_never_delivered_gets_a_lineage_once(make_state):
    first = keep(make_state(serial=0, lineage=""))
    again = keep(make_state(serial=0, lineage=""))

    found = service.latest("web")
    assert (first, again) == (True, False)
    assert (len(found.lineage), found.serial) == (36, 1)
    with pytest.raises(Conflict):
        keep(make_state(serial=0, lineage="", outputs={"another": {"value": 1}}))


def test_a_large_state_fits(make_state):
    content = make_state(outputs={"big": {"value": "x" * 10_000_000, "type": "string"}})

    keep(content)

    assert service.latest("web").content == content


def test_a_credential_is_good_for_its_workspace_and_run_only():
    token = service.state_credential("web", 7, 3)

    assert service.read_credential("web", "7", token) == service.Credential(7, 3)
    assert service.read_credential("api", "7", token) is None
    assert service.read_credential("web", "8", token) is None
    assert service.read_credential("web", "7", token + "x") is None
    assert service.read_credential("web", None, None) is None


def test_workspaces_are_found_by_module_and_environment():
    with transaction():
        service.open_workspace("api", module="demo-fleet", environment="prod")

    def names(**wanted):
        return [workspace.name for workspace in db.session.scalars(service.find(**wanted).order_by(Workspace.id))]

    assert names() == ["web", "api"]
    assert names(module="demo-fleet") == ["api"]
    assert names(environment="test") == ["web"]


def test_unlocking_what_does_not_exist_is_an_error():
    with transaction(), pytest.raises(NotFound):
        service.force_unlock("nowhere")
