"""Logging in, staying in, being put out."""

import json
import logging
import time

import pytest
from itsdangerous import URLSafeTimedSerializer

from opsplatform.accounts import passwords, service, sessions
from opsplatform.accounts.models import Session, User
from opsplatform.core.db import db, now, transaction
from opsplatform.core.errors import NotFound

PASSWORD = "correct horse battery"
WRONG = {"status": 1, "message": "用户名或密码错误"}


def test_a_wrong_name_a_wrong_password_and_a_disabled_user_hear_the_same(accounts):
    root = accounts.admin()
    accounts.member("jack")
    accounts.member("jill")
    accounts.result("user.disable", root, username="jill")

    for username, password in [
        ("jack", "a wrong password"),
        ("nobody", PASSWORD),
        ("jill", PASSWORD),
        ("", ""),
        ("jack", "x" * 100_000),
        ("x" * 100_000, PASSWORD),
        ("ja\0ck", "\0"),
    ]:
        assert accounts.login(username, password) == WRONG


def test_a_user_without_a_password_cannot_log_in_with_one(accounts):
    with accounts.app.app_context(), transaction():
        db.session.add(User(username="sso", roles=["member"], created_at=now()))

    assert accounts.login("sso", "") == WRONG
    assert accounts.login("sso", "nobody has this one") == WRONG


def test_an_unknown_name_costs_as_much_as_a_wrong_password(accounts, real_hash):
    accounts.result("user.register", username="jack", password=PASSWORD)

    def cost(username):
        start = time.process_time()
        accounts.login(username, "a wrong password")
        return time.process_time() - start

    known = min(cost("jack") for _ in range(3))
    unknown = min(cost("nobody") for _ in range(3))

    assert passwords.NOBODYS_HASH.split("$")[0] == passwords.hash_password("x").split("$")[0]
    assert 0.5 < unknown / known < 2


def test_a_login_does_not_hold_the_database_while_it_hashes(accounts, monkeypatch):
    accounts.member("jack")
    open_transactions = []
    check = passwords.check_password_hash

    def watching(*args):
        open_transactions.append(db.session().in_transaction())
        return check(*args)

    monkeypatch.setattr(passwords, "check_password_hash", watching)
    token = accounts.login("jack")["token"]
    accounts.result("user.change_password", token, old_password=PASSWORD, new_password="another password")

    assert open_transactions == [False, False]


@pytest.mark.parametrize("spoil", [lambda t: t[:-2], lambda t: t + "x", lambda t: t.swapcase(), lambda t: "." + t])
def test_a_token_that_was_changed_is_none(accounts, spoil):
    token = accounts.member()

    assert accounts.code("user.me", spoil(token)) == -32001


def test_a_token_ends_after_two_hours(accounts, monkeypatch):
    token = accounts.member()
    two_hours_on = time.time() + sessions.TOKEN_SECONDS + 2
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: two_hours_on)

    assert accounts.code("user.me", token) == -32001


def test_a_token_signed_for_another_purpose_or_with_another_key_is_none(accounts):
    token = accounts.member()
    payload = json.loads(json.dumps({"u": 1, "tv": 1, "j": "0" * 24}))
    foreign = URLSafeTimedSerializer("another key" * 4, salt=sessions.PURPOSE).dumps(payload)
    with accounts.app.app_context():
        from opsplatform.core import tokens

        other_purpose = tokens.sign(tokens.read(token, sessions.PURPOSE, max_age=60), "download.v1")

    assert accounts.code("user.me", foreign) == -32001
    assert accounts.code("user.me", other_purpose) == -32001


def test_the_lookup_of_a_call_is_one_query_and_keeps_no_hash(accounts):
    token = accounts.member()
    statements = []
    with accounts.app.app_context():
        db.event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    accounts.result("App.hello", token, name="jack")

    statements = [statement for statement in statements if statement != "BEGIN"]
    assert len(statements) == 1
    assert "pwd_hash" not in statements[0].split("FROM")[0]


def test_a_refresh_renews_and_the_old_token_goes_on(accounts):
    accounts.member()
    login = accounts.login("jack")

    fresh = accounts.result("sso.refresh", refresh_token=login["refresh_token"])

    assert set(fresh) == {"token", "expires_in", "refresh_token"}
    assert fresh["refresh_token"] != login["refresh_token"]
    assert accounts.code("user.me", fresh["token"]) is None
    assert accounts.code("user.me", login["token"]) is None


def test_a_refresh_token_used_again_ends_its_login_and_no_other(accounts):
    accounts.member()
    login, other = accounts.login("jack"), accounts.login("jack")
    fresh = accounts.result("sso.refresh", refresh_token=login["refresh_token"])

    assert accounts.code("sso.refresh", refresh_token=login["refresh_token"]) == -32001
    assert accounts.code("sso.refresh", refresh_token=fresh["refresh_token"]) == -32001
    assert accounts.code("user.me", fresh["token"]) == -32001
    assert accounts.code("user.me", other["token"]) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "x" * 5000, "中.文"])
def test_a_refresh_token_that_is_none_is_refused(accounts, token):
    assert accounts.code("sso.refresh", refresh_token=token) == -32001


def test_a_refresh_token_ends_too_and_can_be_cleared_away(accounts):
    accounts.member()
    login = accounts.login("jack")
    with accounts.app.app_context(), transaction():
        db.session.execute(db.update(Session).values(expires_at=now()))

    assert accounts.code("sso.refresh", refresh_token=login["refresh_token"]) == -32001
    with accounts.app.app_context():
        with transaction():
            sessions.forget_expired()
        assert db.session.scalar(db.select(db.func.count(Session.id))) == 0


def test_secrets_of_a_login_are_kept_as_hashes_and_not_logged(accounts, caplog):
    caplog.set_level(logging.DEBUG)
    accounts.member()
    login = accounts.login("jack")
    accounts.result("sso.refresh", refresh_token=login["refresh_token"])
    accounts.code("sso.refresh", refresh_token=login["refresh_token"])

    with accounts.app.app_context():
        kept = str(db.session.execute(db.select(Session.jti, Session.refresh_hash)).all())
    for secret in (PASSWORD, login["token"], login["refresh_token"].split(".")[1]):
        assert secret not in kept
        assert secret not in caplog.text


def test_a_logout_ends_this_login_or_all(accounts):
    accounts.member()
    one, two, three = (accounts.login("jack") for _ in range(3))

    assert accounts.result("sso.logout", one["token"]) is None
    assert accounts.code("user.me", one["token"]) == -32001
    assert accounts.code("sso.refresh", refresh_token=one["refresh_token"]) == -32001
    assert accounts.code("user.me", two["token"]) is None

    accounts.result("sso.logout", two["token"], all=True)
    assert accounts.code("user.me", three["token"]) == -32001
    assert accounts.code("sso.refresh", refresh_token=three["refresh_token"]) == -32001


def test_a_changed_password_ends_all_logins(accounts):
    token = accounts.member()
    login = accounts.login("jack")

    assert accounts.result("user.change_password", token, old_password=PASSWORD, new_password="another password") == {
        "status": 0,
        "message": "密码已修改，请重新登录",
    }
    assert accounts.code("user.me", token) == -32001
    assert accounts.code("sso.refresh", refresh_token=login["refresh_token"]) == -32001
    assert accounts.login("jack") == WRONG
    assert accounts.login("jack", "another password")["status"] == 0


def test_a_password_is_changed_only_with_the_old_one_and_to_a_good_one(accounts):
    token = accounts.member()

    def change(old, new):
        return accounts.result("user.change_password", token, old_password=old, new_password=new)["message"]

    assert change("a wrong password", "another password") == "原密码错误"
    assert change(PASSWORD, "short") == "密码长度应为12到128个字符"
    assert accounts.login("jack")["status"] == 0


def test_whoever_was_disabled_or_changed_during_the_check_is_not_let_in(accounts):
    accounts.member()
    with accounts.app.app_context(), transaction():
        assert service.log_in("jack", "a hash of before") is None
        user = service.get_by_name("jack")
        assert not service.change_password(user.id, checked_hash="a hash of before", new_hash="new")
        with pytest.raises(NotFound):
            service.get(2**40)


def test_a_password_changed_by_somebody_else_during_the_check_wins(accounts, monkeypatch):
    token = accounts.member()
    monkeypatch.setattr(service, "log_in", lambda *_: None)
    monkeypatch.setattr(service, "change_password", lambda *_, **__: False)

    assert accounts.login("jack") == WRONG
    answer = accounts.result("user.change_password", token, old_password=PASSWORD, new_password="another password")
    assert answer == {"status": 1, "message": "原密码错误"}


def test_logins_are_limited_by_name(accounts):
    answers = {accounts.code("user.verify", username="jack", password="x") for _ in range(121)}

    assert answers == {None, -32010}
