"""Terraform on the local cloud: what is ordered is what exists, and the ledger knows how it came about."""

import time

import pytest

SERVER = """resource "fakecloud_server" "one" {{
  name     = "{name}"
  size     = "{size}"
  tags     = {{ team = "{team}" }}
  password = "{password}"
}}
"""


def server(name="web", size="small", team="a", password="hunter2-hunter2"):
    return SERVER.format(name=name, size=size, team=team, password=password)


def many(number, **more):
    extra = "".join(f"  {name} = {value}\n" for name, value in more.items())
    return f'resource "fakecloud_server" "each" {{\n  count = {number}\n  name = "web-${{count.index}}"\n{extra}}}\n'


def test_a_server_is_made_once_and_then_there_is_nothing_to_do(terraform, cloud):
    terraform.apply(server())

    (made,) = cloud.objects()
    attributes = terraform.state()["fakecloud_server.one"]
    assert (made["name"], made["size"], made["tags"]) == ("web", "small", {"team": "a"})
    assert (attributes["id"], attributes["ip"]) == (made["id"], made["ip"])
    assert terraform.changes() == 0
    assert [(entry["op"], entry["token"], entry["label"]) for entry in cloud.ledger()] == [
        ("create", "cloud-token", "a run")
    ]


def test_name_tags_and_password_change_in_place(terraform, cloud):
    terraform.apply(server())

    terraform.apply(server(name="db", team="b", password="another-password"))

    assert [entry["op"] for entry in cloud.ledger()] == ["create", "update"]
    assert cloud.objects()[0]["tags"] == {"team": "b"}
    assert terraform.changes() == 0


def test_another_size_is_another_server(terraform, cloud):
    terraform.apply(server(size="small"))

    terraform.apply(server(size="large"))

    assert [entry["op"] for entry in cloud.ledger()] == ["create", "delete", "create"]
    assert [made["size"] for made in cloud.objects()] == ["large"]


def test_destroy_leaves_nothing_but_the_ledger(terraform, cloud):
    terraform.apply(many(3))

    terraform.ok("destroy", "-auto-approve")

    assert cloud.objects() == []
    assert terraform.state() == {}
    assert [entry["op"] for entry in cloud.ledger()] == ["create"] * 3 + ["delete"] * 3


def test_a_server_that_exists_is_imported_as_it_is(terraform, cloud):
    terraform.apply(server())
    (made,) = cloud.objects()
    terraform.ok("state", "rm", "fakecloud_server.one")

    terraform.ok("import", "fakecloud_server.one", made["id"])

    assert terraform.state()["fakecloud_server.one"]["ip"] == made["ip"]
    assert len(cloud.ledger("create")) == 1


def test_importing_what_does_not_exist_says_so(terraform):
    terraform.write(server())

    assert "NotFound" in terraform.fails("import", "fakecloud_server.one", "srv-999999")


def test_ten_slow_servers_are_made_at_the_same_time(terraform, cloud):
    cloud.order("latency", op="create", seconds=1)
    begun = time.monotonic()

    terraform.apply(many(10))

    assert len(cloud.objects()) == 10
    assert 1 <= time.monotonic() - begun < 6


def test_a_quota_stops_half_way_and_a_second_try_makes_only_what_is_missing(terraform, cloud):
    cloud.settings(quota=2)
    terraform.write(many(3))

    said = terraform.fails("apply", "-auto-approve")
    made_first = terraform.ids()
    cloud.settings(quota=None)
    terraform.apply()

    assert "QuotaExceeded" in said
    assert len(made_first) == 2
    assert made_first < terraform.ids() == {made["id"] for made in cloud.objects()}
    assert len(cloud.ledger("create")) == 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_cloud_in_trouble_at_refresh_fails_the_plan_and_changes_nothing(terraform, cloud, status):
    terraform.apply(server())
    cloud.order("error", op="read", status=status, times=1)

    said = terraform.fails("plan")

    assert "ServiceUnavailable" in said
    assert terraform.changes() == 0
    assert len(cloud.ledger()) == 1


def test_a_server_deleted_behind_terraforms_back_is_made_again(terraform, cloud):
    terraform.apply(many(2))
    cloud.delete_behind(cloud.objects()[0]["id"])

    terraform.apply()

    assert [(entry["op"], entry["by"]) for entry in cloud.ledger()] == [
        ("create", "api"),
        ("create", "api"),
        ("delete", "behind Terraform's back"),
        ("create", "api"),
    ]
    assert terraform.ids() == {made["id"] for made in cloud.objects()}


def test_a_server_changed_behind_terraforms_back_is_put_right(terraform, cloud):
    terraform.apply(server(team="a"))
    cloud.change_behind(cloud.objects()[0]["id"], tags={"team": "nobody"}, name="stolen")

    found = terraform.changes()
    terraform.apply()

    assert found == 2
    assert (cloud.objects()[0]["name"], cloud.objects()[0]["tags"]) == ("web", {"team": "a"})


def test_a_password_changed_behind_terraforms_back_is_noticed(terraform, cloud):
    terraform.apply(server())
    cloud.change_behind(cloud.objects()[0]["id"], password_digest="of another one")

    assert terraform.changes() == 2


def test_a_password_is_shown_nowhere_and_the_cloud_keeps_none(terraform, cloud):
    secret = "hunter2-hunter2"
    terraform.write(server(password=secret))

    said = terraform.ok("plan") + terraform.apply() + terraform.ok("show")

    assert "(sensitive value)" in said
    assert secret not in said + str(cloud.ledger()) + str(cloud.objects())


def test_a_bad_token_is_refused_and_changes_nothing(terraform, cloud):
    cloud.settings(tokens=["another-token"])
    terraform.write(server())

    assert "InvalidToken" in terraform.fails("apply", "-auto-approve")
    assert cloud.ledger() == []


def test_a_lost_answer_is_asked_for_again_and_nothing_is_made_twice(terraform, cloud):
    cloud.order("lost", op="create", stage="after", times=1)

    terraform.apply(server())

    assert cloud.calls()["create"] == 2
    assert len(cloud.ledger("create")) == 1
    assert terraform.ids() == {cloud.objects()[0]["id"]}
