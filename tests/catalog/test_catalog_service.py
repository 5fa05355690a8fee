import json

import pytest

from opsplatform.catalog import bindings, service
from opsplatform.core.db import transaction
from opsplatform.core.errors import Conflict, InvalidParams, NotFound

SERVER = """
variable "name" {
  type = string
}
variable "size" {
  type = string
  validation {
    condition     = contains(["small", "large"], var.size)
    error_message = "m"
  }
}
variable "server_count" {
  type    = number
  default = 1
}
variable "password" {
  type      = string
  default   = null
  sensitive = true
}
"""
OFFER = """
title: {zh: 服务器, en: Server}
description: {zh: 一台服务器}
process_code: PROC-OFFER
form:
  name: {label: 名称, component: TextField-name}
  size: {label: 规格, type: DDSelectField, options: {小: small}}
  count: {label: 数量, type: NumberField, component: NumberField-count, variable: server_count}
  password: {label: 密码}
environments: [test, prod]
environment_field: {label: 环境, options: {生产: prod}}
apply: {on_agree: create_only}
limits:
  {max_resources: 7, actions: [create], plan_minutes: 2, apply_minutes: 3, memory_mb: 700, cpu_seconds: 8, disk_mb: 90}
lease_days: 30
"""


@pytest.fixture
def server(catalogue):
    catalogue.module("server", SERVER, OFFER)
    return catalogue


def a_form(build, **changed):
    values = {"name": "web", "size": "小", "count": "3", "password": "s3cret", "environment": "生产", **changed}
    return [
        build.value("名称", values["name"], id="TextField-name"),
        build.value("规格", values["size"], "DDSelectField"),
        build.value("数量", values["count"], "NumberField", id="NumberField-count"),
        build.value("密码", values["password"]),
        build.value("环境", values["environment"], "DDSelectField"),
        build.value("别的", "whatever"),
    ]


def resolve(process_code, form):
    return service.resolve(service.template_of(process_code), form)


def test_a_form_becomes_an_order_in_terraforms_words(server, build):
    order = resolve("PROC-OFFER", a_form(build))

    assert order.module == "server"
    assert order.version == service.get_module("server")["version"]
    assert order.variables == {"name": "web", "size": "small", "server_count": 3, "password": "s3cret"}
    assert order.sensitive == ("password",)
    assert order.environment == "prod"
    assert order.apply_on_agree
    assert (order.limits.plan_seconds, order.limits.apply_seconds, order.limits.max_resources) == (120, 180, 7)
    assert (order.limits.memory_mb, order.limits.cpu_seconds, order.limits.disk_mb) == (700, 8, 90)
    assert order.ephemeral == ()
    assert list(order.limits.actions) == ["create"]


def test_what_is_not_filled_in_is_left_to_the_module(server, build):
    order = resolve("PROC-OFFER", a_form(build, count="null", password=None, environment=""))

    assert order.variables == {"name": "web", "size": "small"}
    assert order.environment == "test"


def test_a_form_that_does_not_fit_names_every_field_and_never_the_value(server, build):
    with pytest.raises(service.FormRefused) as refused:
        resolve("PROC-OFFER", a_form(build, size="$(huge)", count="many"))
    with pytest.raises(service.FormRefused) as missing:
        resolve("PROC-OFFER", a_form(build, name=" ", size="$(huge)", environment="dev"))

    assert refused.value.errors == {"count": ["数量 (count): 必须是数字 / must be a number"]}
    assert missing.value.errors == {
        "name": ["名称 (name): 没有填写 / is missing"],
        "size": ["规格 (size): 只能是 small、large 之一 / must be one of small, large"],
        "environment": ["环境 (environment): 只能是 test, prod 之一 / must be one of test, prod"],
    }
    assert "huge" not in missing.value.text
    assert missing.value.text.count("；") == 2


def test_a_form_without_a_needed_component_says_so(server, build):
    with pytest.raises(service.FormRefused, match="the form has no such component"):
        resolve("PROC-OFFER", a_form(build)[1:])


def test_an_environment_that_cannot_be_read_is_refused(server, build):
    with pytest.raises(service.FormRefused, match=r"环境 \(environment\)"):
        resolve("PROC-OFFER", a_form(build, environment="a\0"))


def test_a_template_nobody_bound_orders_nothing(server):
    assert service.template_of("PROC-X") is None


def test_an_order_without_a_form_is_checked_just_the_same(server):
    order = service.order_for("server", {"name": "web", "size": "large", "count": None}, "prod")

    assert order.variables == {"name": "web", "size": "large"}
    with pytest.raises(service.FormRefused) as refused:
        service.order_for("server", {"name": "a\0", "size": 5, "count": 1.5, "colour": "red"})
    assert set(refused.value.errors) == {"name", "size", "colour"}
    with pytest.raises(NotFound):
        service.order_for("gone", {})


def test_a_bound_template_replaces_the_one_of_the_offer(server, build):
    with transaction():
        shown = service.bind("server", "PROC-REAL", {"name": "服务器名", "size": "S-1"}, "admin")
    form = [build.value("服务器名", "web"), build.value("规格", "large", "DDSelectField", id="S-1")]

    assert shown["form"]["source"] == "bound"
    assert (shown["form"]["process_code"], shown["form"]["bound_by"]) == ("PROC-REAL", "admin")
    assert shown["form"]["bound_at"].endswith("Z")
    assert service.template_of("PROC-OFFER") is None
    assert resolve("PROC-REAL", form).variables == {"name": "web", "size": "large"}


def test_binding_again_keeps_one_binding(server):
    with transaction():
        service.bind("server", "PROC-A", {"name": "a", "size": "b"}, "admin")
    with transaction():
        service.bind("server", "PROC-B", {"name": "c", "size": "d", "environment": "e"}, "other")

    assert service.template_of("PROC-A") is None
    assert service.get_module("server")["form"]["fields"] == {"name": "c", "size": "d", "environment": "e"}


@pytest.mark.parametrize(
    ("code", "fields", "wrong"),
    [
        ("P", {"name": "a"}, ["fields.size"]),
        ("P", {"name": "a", "size": "b", "server_count": "c"}, ["fields.server_count"]),
        ("P", {"name": " ", "size": "b"}, ["fields.name"]),
        ("P", {"name": "a", "size": "b" * 101}, ["fields.size"]),
        (" ", {"name": "a", "size": "b"}, ["process_code"]),
        ("P" * 129, {"name": "a", "size": "b"}, ["process_code"]),
    ],
)
def test_a_binding_that_cannot_work_is_refused(server, code, fields, wrong):
    with pytest.raises(InvalidParams) as refused:
        service.bind("server", code, fields, "admin")

    assert list(refused.value.errors) == wrong


def test_one_template_orders_one_module(server):
    server.module("other", 'variable "a" {\n  default = 1\n}\n')
    with transaction():
        service.bind("other", "PROC-A", {}, "admin")

    with pytest.raises(Conflict, match="orders module other already"), transaction():
        service.bind("server", "PROC-A", {"name": "a", "size": "b"}, "admin")


def test_two_who_bind_at_once_do_not_both_succeed(server, monkeypatch):
    server.module("other", 'variable "a" {\n  default = 1\n}\n')
    with transaction():
        service.bind("other", "PROC-A", {}, "admin")
    monkeypatch.setattr(bindings.db.session, "scalar", lambda _query: None)  # as the slower one saw it

    with pytest.raises(Conflict, match="somebody else just now"), transaction():
        service.bind("server", "PROC-A", {"name": "a", "size": "b"}, "admin")


def test_an_offer_does_not_claim_a_template_that_was_bound(server):
    server.module("other", 'variable "a" {\n  default = 1\n}\n')
    with transaction():
        service.bind("other", "PROC-OFFER", {}, "admin")

    assert service.template_of("PROC-OFFER").module == "other"
    assert service.get_module("server")["form"] is None


def test_a_bound_module_whose_folder_is_gone_refuses_the_form(server):
    with transaction():
        service.bind("server", "PROC-A", {"name": "a", "size": "b"}, "admin")
    server.root.rename(server.root.with_name("away"))

    with pytest.raises(service.FormRefused, match="folder is gone"):
        resolve("PROC-A", [])


def test_the_version_of_now_is_told_only_of_a_module_that_can_be_used(server):
    server.module("broken", "x {")

    assert service.current_version("server") == service.get_module("server")["version"]
    with pytest.raises(Conflict, match=r"main\.tf:1"):
        service.current_version("broken")


def test_secret_components_are_known_and_all_are_hidden_when_that_cannot_be_told(server):
    with transaction():
        service.bind("server", "PROC-A", {"name": "N", "size": "S", "password": "P"}, "admin")

    known = service.sensitive_components(service.template_of("PROC-A"))
    (server.root / "server" / "main.tf").write_text("x {", encoding="utf-8")

    assert known == {"P"}
    assert service.sensitive_components(service.template_of("PROC-A")) == {"N", "S", "P"}


def test_a_module_is_shown_with_everything_the_console_needs(server):
    shown = service.get_module("server")

    assert (shown["title"], shown["title_en"], shown["description"]) == ("服务器", "Server", "一台服务器")
    assert shown["inputs"]["required"] == ["name", "size"]
    assert list(shown["inputs"]["properties"]) == ["name", "size", "count", "password"]
    assert shown["inputs"]["properties"]["password"]["writeOnly"] is True
    assert shown["form"] == {
        "process_code": "PROC-OFFER",
        "fields": {
            "name": "TextField-name",
            "size": "规格",
            "count": "NumberField-count",
            "password": "密码",
            "environment": "环境",
        },
        "source": "offer",
        "bound_at": None,
        "bound_by": None,
    }
    assert shown["lease"] == {"days": 30}
    assert shown["rules"]["on_agree"] == "create_only"
    json.dumps(shown)


def test_a_broken_module_is_shown_with_its_error_alone(catalogue):
    catalogue.module("broken", "x {", None)

    shown = service.get_module("broken")

    assert shown["error"]
    assert (shown["inputs"], shown["rules"], shown["form"], shown["outputs"]) == (None, None, None, {})
