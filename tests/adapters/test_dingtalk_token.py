"""The access token is fetched once, early enough, and failures do not multiply."""

import threading

import pytest

from opsplatform.adapters.dingtalk_token import AccessToken
from opsplatform.core.errors import UpstreamError


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Source:
    """Hands out numbered tokens, or fails."""

    def __init__(self, lifetime=7200.0):
        self.fetched = 0
        self.lifetime = lifetime
        self.broken = False

    def __call__(self):
        self.fetched += 1
        if self.broken:
            raise UpstreamError("dingtalk", "down", upstream_code="x")
        return f"token{self.fetched}", self.lifetime


@pytest.fixture
def clock():
    return Clock()


def test_threads_that_ask_at_once_share_one_fetch():
    started, released, fetched, got = threading.Event(), threading.Event(), [], []

    def fetch():
        fetched.append(1)
        started.set()
        released.wait(5)
        return "token", 7200.0

    token = AccessToken(fetch)
    threads = [threading.Thread(target=lambda: got.append(token.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(5)
    released.set()
    for thread in threads:
        thread.join()

    assert (len(fetched), got) == (1, ["token"] * 8)


def test_a_token_is_renewed_five_minutes_before_it_ends(clock):
    source = Source()
    token = AccessToken(source, clock=clock)
    token.get()

    clock.now += 6899
    assert token.get() == "token1"
    clock.now += 2
    assert token.get() == "token2"


def test_a_token_of_short_life_is_still_used(clock):
    source = Source(lifetime=10)
    token = AccessToken(source, clock=clock)

    assert [token.get(), token.get()] == ["token1", "token1"]


def test_a_token_serves_on_while_it_cannot_be_renewed(clock):
    source = Source()
    token = AccessToken(source, clock=clock)
    token.get()
    source.broken = True

    clock.now += 7000
    assert [token.get(), token.get()] == ["token1", "token1"]
    assert source.fetched == 2

    clock.now += 300
    with pytest.raises(UpstreamError):
        token.get()


def test_a_failure_is_shared_for_a_second_and_then_tried_again(clock):
    source = Source()
    source.broken = True
    token = AccessToken(source, clock=clock)

    for _ in range(3):
        with pytest.raises(UpstreamError) as caught:
            token.get()
        assert caught.value.upstream_code == "x"
    assert source.fetched == 1

    source.broken = False
    clock.now += 1.5
    assert token.get() == "token2"


def test_a_refused_token_is_replaced_once_for_all_who_held_it(clock):
    source = Source()
    token = AccessToken(source, clock=clock)
    held = token.get()

    assert [token.replace(held), token.replace(held), token.get()] == ["token2"] * 3
    assert source.fetched == 2


def test_a_replacement_that_failed_is_fetched_by_the_next_who_asks(clock):
    source = Source()
    token = AccessToken(source, clock=clock)
    held = token.get()
    source.broken = True
    with pytest.raises(UpstreamError):
        token.replace(held)

    source.broken = False
    clock.now += 2
    assert token.replace(held) == "token3"
