"""What a state says, read without Terraform."""

import json

import pytest

from opsplatform.core.errors import NotFound
from opsplatform.core.masking import MASK
from opsplatform.states.parsing import output_value, outputs_of, read_head, resources_of


def attribute(*steps):
    return [
        {"type": "get_attr", "value": step} if isinstance(step, str) else
        {"type": "index", "value": {"value": step, "type": "number"}} for step in steps
    ]  # fmt: skip


def state_with(*instances, **block):
    block = {
        "mode": "managed", "type": "cloud_server", "name": "web",
        "provider": 'provider["registry.terraform.io/aliyun/alicloud"].hangzhou', **block,
        "instances": list(instances),
    }  # fmt: skip
    return json.dumps({"version": 4, "serial": 1, "lineage": "x", "resources": [block]}).encode()


def one(*instances, **block):
    [found] = resources_of(state_with(*instances, **block))
    return found


@pytest.mark.parametrize(
    ("block", "instance", "address"),
    [
        ({}, {}, "cloud_server.web"),
        ({}, {"index_key": 0}, "cloud_server.web[0]"),
        ({}, {"index_key": 'a"b'}, 'cloud_server.web["a\\"b"]'),
        ({}, {"index_key": "z${q}"}, 'cloud_server.web["z$${q}"]'),
        ({}, {"index_key": "服务器"}, 'cloud_server.web["服务器"]'),
        ({"module": 'module.net["a"]'}, {"index_key": 1}, 'module.net["a"].cloud_server.web[1]'),
        ({}, {"deposed": "0a1b2c3d"}, "cloud_server.web (deposed 0a1b2c3d)"),
    ],
)
def test_addresses_read_as_terraform_writes_them(block, instance, address):
    assert one(instance, **block).address == address


def test_a_resource_has_its_provider_and_its_id():
    found = one({"attributes": {"id": "i-1", "size": "small", "none": None}})

    assert (found.provider, found.provider_id) == ("registry.terraform.io/aliyun/alicloud", "i-1")
    assert found.attributes == {"id": "i-1", "size": "small", "none": None}


def test_a_numeric_id_is_text_and_a_missing_one_is_none():
    assert one({"attributes": {"id": 5}}).provider_id == "5"
    assert one({"attributes": {}}).provider_id is None
    assert one({}).attributes == {}


def test_data_sources_are_not_listed():
    assert resources_of(state_with({}, mode="data")) == []


@pytest.mark.parametrize(
    ("path", "masked"),
    [
        (attribute("password"), {"password": MASK, "disks": [{"key": "k0"}, {"key": "k1"}], "tags": {"a": "b"}}),
        (attribute("disks", 1, "key"), {"password": "p", "disks": [{"key": "k0"}, {"key": MASK}], "tags": {"a": "b"}}),
        (attribute("tags", "a"), {"password": "p", "disks": [{"key": "k0"}, {"key": "k1"}], "tags": {"a": MASK}}),
        (attribute("tags", "gone"), {"password": "p", "disks": [{"key": "k0"}, {"key": "k1"}], "tags": MASK}),
        (attribute("disks", 7), {"password": "p", "disks": MASK, "tags": {"a": "b"}}),
    ],
)
def test_sensitive_attributes_are_masked_and_what_is_unclear_too(path, masked):
    attributes = {"password": "p", "disks": [{"key": "k0"}, {"key": "k1"}], "tags": {"a": "b"}}

    found = one({"attributes": attributes, "sensitive_attributes": [path]})

    assert found.attributes == masked


def test_a_sensitive_id_is_not_the_providers_id_to_show():
    found = one({"attributes": {"id": "secret"}, "sensitive_attributes": [attribute("id")]})

    assert (found.provider_id, found.attributes["id"]) == (MASK, MASK)


def test_the_output_of_terraform_data_is_masked_like_its_input():
    value = {"value": {"n": 1, "p": "hunter22"}, "type": ["object", {"n": "number", "p": "string"}]}

    found = one(
        {"attributes": {"input": value, "output": value}, "sensitive_attributes": [attribute("input", "p")]},
        type="terraform_data",
    )

    assert found.attributes == {"input": {"n": 1, "p": MASK}, "output": {"n": 1, "p": MASK}}
    assert found.sensitive_paths == ("input.p", "output.p")


def test_an_own_object_with_value_and_type_stays_whole():
    record = {"type": "A", "value": "192.0.2.1"}

    assert one({"attributes": {"record": record}}).attributes == {"record": record}


def test_outputs_come_without_sensitive_values():
    outputs = {"id": {"value": "i-1", "type": "string"}, "key": {"value": "k", "type": "string", "sensitive": True}}
    content = json.dumps({"version": 4, "serial": 1, "lineage": "x", "outputs": outputs}).encode()

    assert outputs_of(content) == {
        "id": {"value": "i-1", "sensitive": False, "type": "string"},
        "key": {"value": None, "sensitive": True, "type": "string"},
    }
    assert output_value(content, "key") == "k"
    with pytest.raises(NotFound):
        output_value(content, "other")


def test_the_head_counts_objects():
    head = read_head(state_with({"index_key": 0}, {"index_key": 1}))

    assert (head.lineage, head.serial, head.resource_count) == ("x", 1, 2)
