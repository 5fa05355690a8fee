import pytest

from opsplatform.catalog.offers import OfferError, read_offer

FULL = """
title: {zh: 服务器, en: Server}
description: {zh: 说明}
process_code: PROC-1
form:
  size: {label: 规格, type: DDSelectField, component: DDSelectField-size, options: {小: small, 大: large}}
  tags: {label: 标签, type: TableField, biz_alias: tags, columns: {key: 键, value: 值}}
  count: {label: 数量, type: NumberField, variable: server_count}
environments: [test, prod]
environment_field: {label: 环境, options: {测试: test}}
apply: {on_agree: create_only}
limits: {max_resources: 3, actions: [create, delete], plan_minutes: 1, apply_minutes: 2}
allow: {providers: [hashicorp/aws], data_sources: [http], functions: [file], provisioners: [local-exec]}
lease_days: 30
"""


def test_every_key_is_read():
    offer = read_offer(FULL.encode())

    assert offer.title.zh == "服务器"
    assert offer.form["size"].options == {"小": "small", "大": "large"}
    assert [entry.reference for entry in offer.form.values()] == ["DDSelectField-size", "tags", "数量"]
    assert offer.limits.actions == ["create", "delete"]
    assert offer.environment_field.options == {"测试": "test"}
    assert offer.lease_days == 30


def test_what_is_left_out_is_cautious():
    offer = read_offer("title: {zh: 服务器}".encode())

    assert offer.apply.on_agree == "never"
    assert "delete" not in offer.limits.actions
    assert offer.allow.provisioners == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: {zh: a}\nlimts: {}", "limts: there is no such key"),
        ("title: {zh: a}\nform: {x: {label: a, typ: TextField}}", "form.x.typ: there is no such key"),
        ("title: {zh: a}\nform: {x: {type: TextField}}", "form.x.label: Field required"),
        ("title: {zh: a}\nform: {x: {label: a, type: Dropdown}}", "form.x.type"),
        ("title: {zh: a}\nlimits: {max_resources: '5'}", "limits.max_resources"),
        ("title: {zh: a}\nlimits: {actions: [destroy]}", "limits.actions.0"),
        ("title: {zh: a}\napply: {on_agree: always}", "apply.on_agree"),
        ("title: {zh: a}\nenvironments: []", "environments"),
        ("title: {zh: a}\nenvironments: [Prod]", "environments.0"),
        ("title: {zh: a}\nallow: {providers: [a]}", "allow.providers.0"),
        ("description: {zh: a}", "title: Field required"),
        ("title: {zh: a}\ntitle: {zh: b}", "title stands there twice"),
        ("title: &a {zh: a}\ndescription: *a", "aliases"),
        ("title: [", "line 1"),
        ("title: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("- a", "valid dictionary"),
        ("", "valid dictionary"),
        ("[" * 4000, "nested"),
        ("#" * 70_000, "longer"),
    ],
)
def test_a_wrong_offer_says_which_key_is_wrong(text, said):
    with pytest.raises(OfferError, match=said.replace(".", r"\.").replace("*", r"\*")):
        read_offer(text.encode())
