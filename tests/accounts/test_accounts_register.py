"""Registration: what is taken, what is refused and in which words."""

import json
import threading

import pytest

from opsplatform.accounts import service
from opsplatform.accounts.models import User
from opsplatform.core.db import db, transaction

PASSWORD = "correct horse battery"


def test_the_tutorials_methods_answer_word_for_word(accounts):
    assert accounts.result("App.index") == "Hello World!"
    assert accounts.result("user.register", username="jack", password=PASSWORD) == {"status": 0, "message": "注册成功"}
    assert accounts.result("user.register", username="jack", password=PASSWORD) == {
        "status": 1,
        "message": "用户已存在",
    }
    verified = accounts.login("jack")
    assert set(verified) == {"status", "message", "token", "expires_in", "refresh_token"}
    assert (verified["status"], verified["message"], verified["expires_in"]) == (0, "欢迎jack", 7200)
    assert accounts.result("App.hello", verified["token"], name="jack") == "Hello jack!"
    assert accounts.result("App.hello", name="jack", token=verified["token"]) == "Hello jack!"
    assert accounts.code("App.hello", name="jack") == -32001


def test_app_info_says_version_environment_and_batch(accounts):
    assert accounts.result("App.info") == {"version": "0.1.0", "environment": "testing", "batch_max": 50}


@pytest.mark.parametrize(
    ("username", "reason"),
    [
        ("", "用户名不能为空"),
        ("   ", "用户名不能为空"),
        (" jack", "用户名首尾不能有空格"),
        ("jack\u3000", "用户名首尾不能有空格"),
        ("x" * 65, "用户名不能超过64个字符"),
        ("ﷺ" * 4, "用户名不能超过64个字符"),
        ("ja\nck", "用户名不能包含控制字符"),
        ("ja\0ck", "用户名不能包含控制字符"),
        ("ja\u202eck", "用户名不能包含控制字符"),
    ],
)
def test_a_name_that_is_not_taken_is_refused_with_the_reason(accounts, username, reason):
    assert accounts.result("user.register", username=username, password=PASSWORD) == {"status": 1, "message": reason}


@pytest.mark.parametrize("username", ["j", "x" * 64, "张三", "a b", "O'Brien; --", "名" * 64, "🙂"])
def test_an_ordinary_name_is_taken_and_can_log_in(accounts, username):
    assert accounts.result("user.register", username=username, password=PASSWORD)["status"] == 0
    assert accounts.login(username)["message"] == f"欢迎{username}"


def test_two_spellings_of_one_name_are_one_user(accounts):
    accounts.result("user.register", username="ｊａｃｋ", password=PASSWORD)

    assert accounts.result("user.register", username="jack", password=PASSWORD)["message"] == "用户已存在"
    assert accounts.login("ｊａｃｋ")["message"] == "欢迎jack"
    assert accounts.result("user.register", username="Jack", password=PASSWORD)["status"] == 0


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "密码长度应为12到128个字符"),
        ("x" * 11, "密码长度应为12到128个字符"),
        ("x" * 129, "密码长度应为12到128个字符"),
        ("Password1234", "密码过于常见，请换一个"),
        ("JACK-the-king", "密码不能与用户名相同"),
    ],
)
def test_a_password_that_is_not_taken_is_refused_with_the_reason(accounts, password, reason):
    answer = accounts.result("user.register", username="jack-the-king", password=password)

    assert answer == {"status": 1, "message": reason}


@pytest.mark.parametrize("password", ["x" * 12, "密码" * 64, "with \0 and \n inside", "  blanks are kept  "])
def test_an_ordinary_password_is_taken_and_kept_exactly(accounts, password):
    assert accounts.result("user.register", username="jack", password=password)["status"] == 0
    assert accounts.login("jack", password)["status"] == 0
    assert accounts.login("jack", password.strip() + " ")["status"] == 1


@pytest.mark.parametrize("value", [None, 5, ["a"], {"a": 1}, True])
@pytest.mark.parametrize("method", ["user.register", "user.verify"])
def test_what_is_no_text_is_an_invalid_param(accounts, method, value):
    assert accounts.code(method, username=value, password=PASSWORD) == -32602
    assert accounts.code(method, username="jack", password=value) == -32602


def test_a_closed_registration_says_so(make_accounts):
    accounts = make_accounts(ops_open_registration=False)

    answer = accounts.result("user.register", username="jack", password=PASSWORD)

    assert answer["status"] == 1
    assert answer["message"].startswith("注册未开放")


def test_of_registrations_at_once_one_wins(accounts):
    start, answers = threading.Barrier(4), []

    def race():
        client = accounts.app.test_client()
        body = {"jsonrpc": "2.0", "method": "user.register", "params": ["jack", PASSWORD], "id": 1}
        start.wait()
        answers.append(json.loads(client.post("/api", json=body).data).get("result"))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer["message"] for answer in answers) == ["注册成功", "用户已存在", "用户已存在", "用户已存在"]


def test_a_registration_with_a_request_id_happens_once(accounts):
    params = {"username": "jack", "password": PASSWORD, "request_id": "abcdefgh"}

    assert [accounts.result("user.register", **params)["status"] for _ in range(2)] == [0, 0]
    with accounts.app.app_context():
        assert db.session.scalar(db.select(db.func.count(User.id))) == 1


def test_the_first_admin_is_made_by_the_command_line_under_the_same_rules(make_accounts):
    accounts = make_accounts(ops_open_registration=False)
    with accounts.app.app_context():
        with transaction():
            service.create_admin("root", PASSWORD)
        with pytest.raises(service.NotAccepted, match="用户已存在"), transaction():
            service.create_admin("root", PASSWORD)
        with pytest.raises(service.NotAccepted, match="密码长度"), transaction():
            service.create_admin("other", "short")

    assert accounts.result("user.me", accounts.login("root")["token"])["roles"] == ["admin"]


def test_a_password_is_only_kept_as_a_scrypt_hash(accounts, real_hash):
    accounts.result("user.register", username="jack", password=PASSWORD)

    with accounts.app.app_context():
        kept = db.session.scalar(db.select(User.pwd_hash))
    assert kept.startswith("scrypt:32768:8:1$")
    assert PASSWORD not in kept
