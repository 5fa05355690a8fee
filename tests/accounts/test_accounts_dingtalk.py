"""Who somebody is in DingTalk, as an administrator says it."""

import pytest


def test_an_administrator_binds_a_user_to_a_dingtalk_user_and_both_see_it(accounts):
    root, jack = accounts.admin(), accounts.member()

    bound = accounts.result("user.bind_dingtalk", root, username="jack", dingtalk_userid="manager4974")

    listed = {row["username"]: row["dingtalk_userid"] for row in accounts.result("user.list", root)["items"]}
    assert bound["dingtalk_userid"] == "manager4974"
    assert accounts.result("user.me", jack)["dingtalk_userid"] == "manager4974"
    assert listed == {"jack": "manager4974", "root": None}


def test_a_binding_can_be_changed_and_taken_back(accounts):
    root, jack = accounts.admin(), accounts.member()
    for userid in ("a", "b", None):
        accounts.result("user.bind_dingtalk", root, username="jack", dingtalk_userid=userid)

        assert accounts.result("user.me", jack)["dingtalk_userid"] == userid


def test_two_users_are_never_the_same_dingtalk_user(accounts):
    root, jack, _jill = accounts.admin(), accounts.member(), accounts.member("jill")
    accounts.result("user.bind_dingtalk", root, username="jack", dingtalk_userid="zhangsan")

    error = accounts.call("user.bind_dingtalk", root, username="jill", dingtalk_userid="zhangsan")["error"]
    again = accounts.result("user.bind_dingtalk", root, username="jack", dingtalk_userid="zhangsan")
    accounts.result("user.bind_dingtalk", root, username="jack", dingtalk_userid=None)
    freed = accounts.result("user.bind_dingtalk", root, username="jill", dingtalk_userid="zhangsan")

    assert error["code"] == -32021
    assert "zhangsan" in error["message"]
    assert again["dingtalk_userid"] == freed["dingtalk_userid"] == "zhangsan"
    assert accounts.result("user.me", jack)["dingtalk_userid"] is None


def test_many_users_may_be_bound_to_nobody(accounts):
    root = accounts.admin()
    for name in ("jack", "jill"):
        accounts.member(name)

        assert accounts.result("user.bind_dingtalk", root, username=name, dingtalk_userid=None)


def test_only_an_administrator_binds_and_only_users_there_are(accounts):
    root, jack = accounts.admin(), accounts.member()

    assert accounts.code("user.bind_dingtalk", jack, username="jack", dingtalk_userid="x") == -32003
    assert accounts.code("user.bind_dingtalk", root, username="nobody", dingtalk_userid="x") == -32020


@pytest.mark.parametrize("userid", ["", " ", "a b", "x\n", "张三", "x" * 65, 7, True, ["x"]])
def test_what_cannot_be_a_dingtalk_user_id_is_refused(accounts, userid):
    root = accounts.admin()

    error = accounts.call("user.bind_dingtalk", root, username="root", dingtalk_userid=userid)["error"]

    assert error["code"] == -32602
    assert any(path.startswith("dingtalk_userid") for path in error["data"]["errors"])
