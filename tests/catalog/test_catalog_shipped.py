"""The modules that ship: they can be offered, they are what the contract says, and the demo ones run."""

import json
import os
import shutil
import subprocess

import pytest
from jsonschema import Draft202012Validator

from opsplatform.catalog import service
from opsplatform.catalog.hcl import read_file

TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(TERRAFORM is None, reason="no terraform on PATH")
NAMES = ["aliyun-ecs", "aliyun-oss", "aliyun-rds", "demo-fleet", "demo-server"]


def test_every_shipped_module_can_be_offered(shipped):
    found = service.list_modules()

    assert [module["name"] for module in found] == NAMES
    assert [module["error"] for module in found] == [None] * len(NAMES)
    for module in found:
        Draft202012Validator.check_schema(module["inputs"])
        assert all(schema["description"] for schema in module["inputs"]["properties"].values())
        assert all(output["description"] for output in module["outputs"].values())


def test_the_demo_modules_are_what_the_contract_says(shipped):
    server, fleet = service.get_module("demo-server"), service.get_module("demo-fleet")

    assert server["inputs"]["required"] == ["name", "size"]
    assert server["inputs"]["properties"]["size"]["enum"] == ["small", "medium", "large"]
    assert server["inputs"]["properties"]["tags"]["additionalProperties"] == {"type": "string"}
    assert list(server["outputs"]) == ["server_id"]
    assert server["rules"]["max_resources"] == 1
    assert fleet["inputs"]["required"] == ["name", "count"]
    count = fleet["inputs"]["properties"]["count"]
    assert (count["type"], count["minimum"], count["maximum"]) == ("integer", 1, 5000)
    assert list(fleet["outputs"]) == ["server_ids"]
    assert server["rules"]["on_agree"] == fleet["rules"]["on_agree"] == "create_only"


def test_the_forms_of_the_tutorial_order_the_demo_modules(shipped, build):
    row = {
        "rowValue": [
            {"componentType": "TextField", "label": "键", "value": "team", "key": "TextField-key"},
            {"componentType": "TextField", "label": "值", "value": "ops", "key": "TextField-value"},
        ]
    }
    server = service.resolve(
        service.template_of("PROC-DEMO-SERVER"),
        [
            build.value("服务器名称", "web-01", id="TextField-name"),
            build.value("规格", "small", "DDSelectField", id="DDSelectField-size", ext='{"key":"option_0"}'),
            build.value("标签", json.dumps([row]), "TableField", id="TableField-tags"),
        ],
    )
    fleet = service.resolve(
        service.template_of("PROC-DEMO-FLEET"),
        [
            build.value("名称", "web", id="TextField-name"),
            build.value("数量", "3", "NumberField", id="NumberField-count"),
        ],
    )

    assert server.variables == {"name": "web-01", "size": "small", "tags": {"team": "ops"}}
    assert fleet.variables == {"name": "web", "server_count": 3}


@pytest.mark.parametrize("count", ["0", "5001", "1.5", "-1"])
def test_a_fleet_of_no_sensible_size_is_refused_before_terraform(shipped, build, count):
    form = [
        build.value("名称", "web", id="TextField-name"),
        build.value("数量", count, "NumberField", id="NumberField-count"),
    ]

    with pytest.raises(service.FormRefused, match=r"数量 \(count\)"):
        service.resolve(service.template_of("PROC-DEMO-FLEET"), form)


def test_the_password_of_a_database_is_secret(shipped):
    module = service.get_module("aliyun-rds")

    assert module["inputs"]["properties"]["account_password"]["writeOnly"] is True
    assert module["outputs"]["jdbc_url"]["sensitive"] is True


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_declared_and_used(build, name):
    files = [read_file(path.read_bytes()) for path in (build.shipped / name).glob("*.tf")]
    declared = {block.labels[0] for file in files for block in file.blocks if block.type == "variable"}
    used = {
        node.value[1]
        for file in files
        for top in file.blocks
        if top.type != "variable"
        for block in top.walk()
        for attribute in block.attributes.values()
        for node in attribute.walk()
        if node.kind == "name" and node.value[0] == "var"
    }

    assert used == declared


@needs_terraform
def test_the_shipped_modules_are_formatted(build, tmp_path):
    done = terraform(tmp_path, "fmt", "-check", "-recursive", str(build.shipped))

    assert (done.returncode, done.stdout) == (0, "")


@needs_terraform
@pytest.mark.parametrize(
    ("name", "inputs", "resources"),
    [
        ("demo-server", {"name": '$(rm -rf /) ${var.x} "😀"\n', "size": "small", "tags": {"${a}": "%{if}"}}, 1),
        ("demo-fleet", {"name": "web", "count": 40}, 40),
    ],
)
def test_an_order_of_a_demo_module_plans_with_its_values_as_they_are(shipped, tmp_path, name, inputs, resources):
    order = service.order_for(name, inputs)
    run = tmp_path / "run"
    run.mkdir()
    for path, content in service.version_files(name, order.version):
        (run / path).write_bytes(content)
    (tmp_path / "vars.tfvars.json").write_text(json.dumps(order.variables), encoding="utf-8")

    planned = terraform(run, "plan", "-input=false", f"-var-file={tmp_path / 'vars.tfvars.json'}", "-out=plan")
    plan = json.loads(terraform(run, "show", "-json", "plan").stdout)

    assert planned.returncode == 0, planned.stderr
    assert service.check_plan(order.limits, plan) == []
    assert len(plan["resource_changes"]) == resources
    assert plan["variables"]["name"]["value"] == inputs["name"]


def terraform(folder, *arguments):
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1", "GOGC": "400"}
    return subprocess.run(
        [TERRAFORM, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
