import pytest

from opsplatform.catalog.service import Limits, check_plan

LIMITS = Limits(60, 60, 2, ("create", "update"), ("aliyun/alicloud",), (), ())
BUILTIN = "terraform.io/builtin/terraform"


def change(*actions, address="a.b", provider=BUILTIN):
    return {"address": address, "provider_name": provider, "change": {"actions": list(actions)}}


def test_a_plan_within_the_limits_passes():
    plan = {
        "resource_changes": [
            change("create"),
            change("update", provider="registry.terraform.io/aliyun/alicloud"),
            change("no-op"),
            change("read"),
        ],
        "configuration": {
            "provider_config": {"alicloud": {"full_name": "registry.opentofu.org/aliyun/alicloud"}},
            "root_module": {"resources": [{"mode": "managed", "type": "a", "address": "a.b"}]},
        },
    }

    assert check_plan(LIMITS, plan) == []
    assert check_plan(LIMITS, {}) == []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"resource_changes": [change("create")] * 3}, "changes 3 resources, the module may change 2"),
        ({"resource_changes": [change("delete")]}, "would delete a.b, which"),
        ({"resource_changes": [change("delete", "create"), change("delete")]}, "would delete a.b and 1 more"),
        ({"resource_changes": [change("create", provider="evil/x")]}, "the provider evil/x"),
        ({"configuration": {"provider_config": {"x": {"full_name": "evil/x"}}}}, "the provider evil/x"),
        (
            {"configuration": {"root_module": {"resources": [{"address": "a.b", "provisioners": [{"type": "file"}]}]}}},
            "a.b runs the provisioner file",
        ),
        (
            {
                "configuration": {
                    "root_module": {
                        "module_calls": {
                            "m": {"module": {"resources": [{"mode": "data", "type": "http", "address": "data.http.x"}]}}
                        }
                    }
                }
            },
            "data.http.x reads the data source http",
        ),
    ],
)
def test_a_plan_that_goes_further_is_refused_with_the_reason(plan, said):
    (refusal,) = check_plan(LIMITS, plan)

    assert said in refusal


def test_a_run_of_another_kind_brings_its_own_actions():
    plan = {"resource_changes": [change("delete")]}

    assert check_plan(LIMITS, plan, actions={"delete"}) == []
    assert check_plan(LIMITS, {"resource_changes": [change("create")]}, actions={"delete"})


def test_what_the_offer_allows_passes():
    limits = Limits(60, 60, 2, ("create",), (), ("http",), ("local-exec",))
    module = {
        "resources": [
            {"address": "a.b", "provisioners": [{"type": "local-exec"}]},
            {"mode": "data", "type": "http", "address": "data.http.x"},
        ]
    }

    assert check_plan(limits, {"configuration": {"root_module": module}}) == []
