"""Modules that mean harm: refused by a gate, and contained by the sandbox even if both gates had let them pass."""

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from opsplatform.adapters import process_stop
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.catalog.gate import PROVIDERS
from opsplatform.catalog.modules import read_module
from opsplatform.catalog.orders import Limits
from opsplatform.catalog.plans import check_plan
from opsplatform.catalog.trees import TreeError, read_tree
from tests.chaos.attacks.host import NAMES, Host, OrdinaryUser, copy_of, read_attack

ATTACKS = {name: read_attack(name) for name in NAMES}
EXECUTED = [name for name, attack in ATTACKS.items() if attack.does != "nothing"]
HARMFUL = [name for name, attack in ATTACKS.items() if attack.harm]
SHOWN_BY_PLAN = [name for name, attack in ATTACKS.items() if attack.refused_in_plan]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made of what only Linux has")


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(process_stop, "SECOND_GRACE_SECONDS", 0.5)
    made = Host(tmp_path)
    yield made
    made.close()


def assert_it_began(name, host):
    """A sandbox that fails to start contains everything, and proves nothing."""
    said = host.said()
    assert "bwrap" not in said
    assert "Initializing" in said or '"type":"version"' in said
    if ATTACKS[name].refused_in_plan and ATTACKS[name].harm:
        assert "provision_start" in said


def test_there_are_many_attacks():
    assert len(NAMES) >= 60
    assert len(EXECUTED) >= 50


@pytest.mark.parametrize("name", NAMES)
def test_the_first_gate_refuses_what_could_run_or_read(name, host, tmp_path):
    attack = ATTACKS[name]
    folder = copy_of(name, attack, host, tmp_path)

    try:
        said = read_module(name, read_tree(folder)).error or ""
    except TreeError as error:
        said = str(error)

    if attack.refused:
        assert attack.refused in said
    else:
        assert said == ""


@pytest.mark.parametrize("name", SHOWN_BY_PLAN)
def test_the_second_gate_finds_it_in_the_plan(name, host, sandbox):
    attack = ATTACKS[name]
    outcome = host.suffer(name, sandbox, plan_only=True)

    limits = Limits(60, 60, 50, ("create", "update"), tuple(PROVIDERS), (), ())
    assert attack.refused_in_plan in "; ".join(check_plan(limits, outcome.plan))


@pytest.mark.parametrize("name", HARMFUL)
def test_without_a_sandbox_it_does_harm(name, host):
    attack = ATTACKS[name]
    if attack.root and os.geteuid() != 0:
        pytest.skip("it does harm only when the worker is root")

    outcome = host.suffer(name, Sandbox("off"))

    assert attack.harm in outcome.harm


@pytest.mark.parametrize("name", EXECUTED)
def test_in_the_sandbox_it_does_none(name, host, sandbox):
    attack = ATTACKS[name]

    outcome = host.suffer(name, sandbox)

    assert outcome.harm == set()
    assert_it_began(name, host)
    if attack.says:
        assert not outcome.last.succeeded
        assert re.search(attack.says, outcome.errors)
    if attack.ends == "applied":
        assert outcome.last.succeeded, outcome.errors


@pytest.fixture
def owned_host(monkeypatch):
    """A host whose platform is run by an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    monkeypatch.setattr(process_stop, "SECOND_GRACE_SECONDS", 0.5)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        made = Host(Path(name), owner=OrdinaryUser.USER)
        yield made
        made.close()


@pytest.mark.parametrize("name", HARMFUL)
def test_in_the_sandbox_of_an_ordinary_user_it_does_none_either(name, owned_host):
    found = OrdinaryUser()
    if not found._works("user namespace"):
        pytest.skip(f"no user namespaces here: {found._why_not}")

    outcome = owned_host.suffer(name, found)

    assert outcome.harm == set()
    assert_it_began(name, owned_host)
