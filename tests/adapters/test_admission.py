"""Who may start on a host: room for big steps, room kept for quick ones, and nobody starves."""

import json
import multiprocessing
import os

import pytest

from opsplatform.adapters import admission
from opsplatform.adapters.admission import CORES, MB, MEMORY, Ledger, Need, Place, Room

BIG = Need(memory_mb=600, cores=0.5, seconds=60)
QUICK = Need(memory_mb=80, cores=0.5, seconds=0.1)
ROOM = Room(memory_mb=4000, cores=8)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "host.json", ROOM)


def take_all(ledger, need, number, name="big", **more):
    return [ledger.take(f"{name}-{n}", need, **{"behind": False, **more}) for n in range(number)]


def taken(places):
    return [place for place in places if isinstance(place, Place)]


def test_sixty_big_steps_never_take_more_than_three_quarters_of_the_memory(ledger):
    places = take_all(ledger, BIG, 60)

    assert len(taken(places)) == 5  # 3,000 of 4,000 MB
    assert set(places[5:]) == {MEMORY}


def test_a_quick_step_finds_room_however_many_big_ones_there_are(ledger):
    take_all(ledger, BIG, 60)

    assert isinstance(ledger.take("quick", QUICK, behind=False), Place)
    assert isinstance(ledger.take("another", QUICK, behind=True), Place)


def test_quick_steps_have_no_end_of_room_either(ledger):
    assert len(taken(take_all(ledger, QUICK, 60))) == 16  # of eight cores, half a one each


def test_busy_cores_count_as_memory_does(ledger):
    places = take_all(ledger, Need(memory_mb=10, cores=2, seconds=60), 60)

    assert (len(taken(places)), set(places[3:])) == (3, {CORES})


def test_what_was_given_back_is_free_again(ledger):
    places = take_all(ledger, BIG, 6)

    places[0].give_back()

    assert isinstance(ledger.take("next", BIG, behind=False), Place)


def test_whoever_gives_back_learns_that_somebody_waits_and_only_then(ledger):
    first, second = take_all(ledger, BIG, 2)

    assert first.give_back() is False
    take_all(ledger, BIG, 6, "more")
    assert second.give_back() is True
    assert second.give_back() is False


def test_who_comes_after_a_refused_one_does_not_take_the_room_it_waits_for(ledger):
    take_all(ledger, BIG, 4)
    huge = Need(memory_mb=2000, cores=0.5, seconds=30)

    assert ledger.take("huge", huge, behind=False) == MEMORY
    assert ledger.take("big", BIG, behind=True) == MEMORY
    quick = taken(take_all(ledger, QUICK, 20, "quick", behind=True))
    assert len(quick) == 4  # the quick quarter: two of eight cores


def test_a_step_that_wants_more_than_there_is_runs_alone(ledger):
    beyond = Need(memory_mb=9000, cores=30, seconds=30)

    assert isinstance(ledger.take("beyond", beyond, behind=False), Place)
    assert ledger.take("big", BIG, behind=False) == MEMORY


def test_memory_that_others_use_counts_too(ledger, monkeypatch):
    take_all(ledger, BIG, 1)
    monkeypatch.setattr(admission, "_left_mb", lambda: 650.0)

    assert ledger.take("big", BIG, behind=False) == MEMORY


def test_what_a_dead_process_had_taken_is_free(ledger):
    def take_and_die():
        take_all(ledger, BIG, 5, f"of-{os.getpid()}")
        os._exit(9)

    child = multiprocessing.get_context("fork").Process(target=take_and_die)
    child.start()
    child.join()
    before = json.loads(ledger.path.read_bytes())["taken"]

    assert len(before) == 5
    assert len(taken(take_all(ledger, BIG, 60))) == 5


@pytest.mark.parametrize("content", [b"", b'{"taken": {"a', b"[]", b"\x00" * 100])
def test_a_torn_ledger_begins_anew(ledger, content):
    ledger.path.write_bytes(content)

    assert len(taken(take_all(ledger, BIG, 60))) == 5


def test_the_room_of_a_host_is_a_share_of_its_memory_unless_set():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MB

    assert 0 < Room.of_host().memory_mb <= 0.7 * total
    assert Room.of_host(1000).memory_mb == 1000
    assert Room.of_host().cores == 3 * len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("limit", "expected"), [("max", False), (str(512 * MB), True)])
def test_a_container_has_the_memory_it_was_given(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(admission, "CONTAINER", tmp_path / "memory.max")

    assert (Room.of_host().memory_mb == 512 * 0.7) is expected
