"""Who may do what, and who says so."""

import pytest

from opsplatform.accounts.roles import ROLES, patterns_of
from opsplatform.accounts.rpc import METHODS
from opsplatform.core.rpc import Principal


def may(roles, method):
    return Principal(1, "a", "", None, patterns_of(roles)).may(method)


@pytest.mark.parametrize(
    ("method", "everybody", "member", "operator", "admin"),
    [
        ("App.hello", True, True, True, True),
        ("user.me", True, True, True, True),
        ("sso.logout", True, True, True, True),
        ("run.list", False, True, True, True),
        ("resource.export", False, True, True, True),
        ("module.get", False, True, True, True),
        ("run.confirm", False, False, True, True),
        ("approval.replay", False, False, True, True),
        ("workspace.unlock", False, False, True, True),
        ("resource.forget", False, False, True, True),
        ("user.list", False, False, False, True),
        ("module.bind", False, False, False, True),
        ("dingtalk.callback_delete", False, False, False, True),
    ],
)
def test_a_role_allows_what_it_says(method, everybody, member, operator, admin):
    assert [may(roles, method) for roles in ([], ["member"], ["operator"], ["admin"])] == [
        everybody,
        member,
        operator,
        admin,
    ]


def test_an_unknown_role_allows_nothing_more():
    assert patterns_of(["wizard"]) == patterns_of([])


def test_only_the_short_list_is_public():
    assert {method.name for method in METHODS if method.public} == {
        "App.index",
        "App.info",
        "user.register",
        "user.verify",
        "sso.refresh",
    }


def test_every_method_that_is_not_public_wants_a_token(accounts):
    for method in METHODS:
        if not method.public:
            assert accounts.code(method.name) == -32001, method.name


@pytest.mark.parametrize("value", [None, True, 1, -1, 1.5, "x", "\0", [], {}, 10**30, "🙂" * 300])
def test_no_input_is_our_own_mistake(accounts, value):
    root = accounts.admin()
    for method in METHODS:
        names = [name for name in method.function.__annotations__ if name != "return"]
        params = dict.fromkeys(names, value)
        token = None if method.public or method.name == "sso.logout" else root
        assert accounts.code(method.name, token, **params) != -32603, method.name
        assert accounts.code(method.name, token, zz=value) != -32603, method.name


def test_a_member_may_not_administer(accounts):
    token = accounts.member()

    for method in ("user.list", "user.set_roles", "user.disable", "user.enable"):
        assert accounts.code(method, token) == -32003


def test_me_shows_roles_and_permissions_and_no_secret(accounts):
    me = accounts.result("user.me", accounts.member())

    assert set(me) == {
        "id",
        "username",
        "full_name",
        "enabled",
        "roles",
        "dingtalk_userid",
        "created_at",
        "permissions",
    }
    assert me["roles"] == ["member"]
    assert "run.list" in me["permissions"]
    assert me["created_at"].endswith("Z")


def test_the_list_of_users_goes_page_by_page_and_holds_while_users_are_added(accounts):
    root = accounts.admin()
    for name in ("ann", "ben", "cat"):
        accounts.member(name)

    first = accounts.result("user.list", root, limit=2)
    accounts.member("dan")
    second = accounts.result("user.list", root, limit=2, cursor=first["next_cursor"])

    names = [user["username"] for page in (first, second) for user in page["items"]]
    assert names == ["cat", "ben", "ann", "root"]
    assert second["next_cursor"] is None
    assert accounts.code("user.list", root, cursor="rubbish") == -32602
    assert accounts.code("user.list", root, limit=201) == -32602


def test_new_roles_count_at_once_and_a_lost_one_ends_the_tokens(accounts):
    root, token = accounts.admin(), accounts.member()

    user = accounts.result("user.set_roles", root, username="jack", roles=["member", "admin", "admin"])
    assert user["roles"] == ["member", "admin"]
    assert accounts.code("user.list", token) is None

    accounts.result("user.set_roles", root, username="jack", roles=["member"])
    assert accounts.code("user.me", token) == -32001
    assert accounts.code("user.list", accounts.login("jack")["token"]) == -32003


def test_unknown_roles_and_users_are_refused(accounts):
    root = accounts.admin()

    assert accounts.code("user.set_roles", root, username="root", roles=["wizard"]) == -32602
    assert accounts.code("user.set_roles", root, username="nobody", roles=["member"]) == -32020
    assert accounts.code("user.disable", root, username="nobody") == -32020
    assert set(ROLES) == {"admin", "operator", "member"}


def test_nobody_changes_their_own_roles_or_disables_themselves(accounts):
    root = accounts.admin()
    accounts.admin("second")

    assert accounts.code("user.set_roles", root, username="root", roles=["member"]) == -32003
    assert accounts.code("user.disable", root, username="root") == -32003


def test_the_last_admin_stays(accounts):
    root = accounts.admin()
    second = accounts.admin("second")
    accounts.result("user.disable", root, username="second")
    accounts.result("user.enable", root, username="second")
    accounts.result("user.disable", root, username="second")

    with accounts.app.app_context():
        from opsplatform.accounts import service
        from opsplatform.core.errors import Conflict, InvalidParams

        with pytest.raises(Conflict, match="last administrator"):
            service.set_roles("root", ["member"], by=0)
        with pytest.raises(InvalidParams):
            service.set_roles("root", ["wizard"], by=0)
    assert accounts.code("user.me", second) == -32001


def test_a_disabled_user_is_out_at_once_and_back_after_a_new_login(accounts):
    root, token = accounts.admin(), accounts.member()

    assert accounts.result("user.disable", root, username="jack")["enabled"] is False
    assert accounts.code("user.me", token) == -32001
    assert accounts.result("user.enable", root, username="jack")["enabled"] is True
    assert accounts.code("user.me", token) == -32001
    assert accounts.login("jack")["status"] == 0
