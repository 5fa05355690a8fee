import pytest

from opsplatform.catalog.gate import file_refusal, provider_source, refusals
from opsplatform.catalog.hcl import read_file
from opsplatform.catalog.offers import Allow


def refused(text, allow=None, **more):
    files = {"main.tf": text, **more}
    return refusals({path: read_file(content.encode()) for path, content in files.items()}, allow or Allow())


REFUSED = {
    "provisioner": 'resource "terraform_data" "a" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}\n',
    "connection": 'resource "terraform_data" "a" {\n  connection {\n  }\n}\n',
    "data external": '\ndata "external" "a" {\n  program = ["id"]\n}\n',
    "data http": '\ndata "http" "a" {\n}\n',
    "data terraform_remote_state": '\ndata "terraform_remote_state" "a" {\n}\n',
    "data terraform_remote_state inside a check": 'check "a" {\n  data "terraform_remote_state" "b" {\n  }\n}\n',
    "backend": 'terraform {\n  backend "http" {\n  }\n}\n',
    "cloud": "terraform {\n  cloud {\n  }\n}\n",
    "a provider block": '\nprovider "alicloud" {\n}\n',
    "import": "\nimport {\n}\n",
    "moved": "\nmoved {\n}\n",
    "removed": "\nremoved {\n}\n",
    "an attribute outside a block": "\nx = 1\n",
    "a module from a registry": '\nmodule "a" {\n  source = "a/b/c"\n}\n',
    "a module above": '\nmodule "a" {\n  source = "./../x"\n}\n',
    "a module from somewhere computed": '\nmodule "a" {\n  source = "./${var.x}"\n}\n',
    "a module without source": '\nmodule "a" {\n}\n',
    "file": 'locals {\n  a = file("/etc/passwd")\n}\n',
    "filebase64 of the environment": 'output "a" {\n  value = filebase64("/proc/self/environ")\n}\n',
    "templatefile": 'locals {\n  a = [upper(templatefile("a", {}))]\n}\n',
    "fileset": 'locals {\n  a = { b = fileset("a", "*") }\n}\n',
    "pathexpand": 'locals {\n  a = pathexpand("~")\n}\n',
    "file in a template": 'locals {\n  a = "x ${file("a")} y"\n}\n',
    "file in a directive": 'locals {\n  a = "%{ if fileexists("a") }y%{ endif }"\n}\n',
    "file in a heredoc": 'locals {\n  a = <<EOT\n${file("a")}\nEOT\n}\n',
    "path.cwd": 'locals {\n  a = "${path.cwd}/x"\n}\n',
    "path.root": "locals {\n  a = path.root\n}\n",
    "path by index": 'locals {\n  a = path["cwd"]\n}\n',
    "path.cwd in a heredoc": "locals {\n  a = <<EOT\n${path.cwd}\nEOT\n}\n",
    "a provider nobody allowed": '\nresource "aws_instance" "a" {\n}\n',
    "a data source of such a provider": '\ndata "local_file" "a" {\n}\n',
    "an ephemeral one": '\nephemeral "vault_x" "a" {\n}\n',
    "a declared provider": 'terraform {\n  required_providers {\n    x = { source = "evil/x" }\n  }\n}\n',
    "a declared provider without source": "terraform {\n  required_providers {\n    x = {}\n  }\n}\n",
    "an allowed name for another provider": '\nresource "random_id" "a" {\n  provider = evil.x\n}\n',
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_planning_would_run_is_refused_with_file_and_line(text):
    found = refused(text)

    assert found
    assert {text.split(":")[1] for text in found} <= {"2", "3"}


HARMLESS = """
terraform {
  required_version = ">= 1.4"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.2"
    }
  }
}
variable "a" {}
locals {
  a = "${path.module}/x file(not a call) ${var.a}"
  b = templatestring("a", {})
  c = "$${file(1)}"
}
data "alicloud_images" "a" {}
resource "random_id" "a" {}
resource "terraform_data" "a" {
  provider = terraform
}
resource "alicloud_vpc" "a" {
  lifecycle {
    ignore_changes = [tags]
  }
}
module "part" {
  source = "./part"
}
output "a" {
  value = 1
}
"""


def test_an_ordinary_module_passes():
    assert refused(HARMLESS) == []


@pytest.mark.parametrize(
    ("name", "allow"),
    [
        ("provisioner", {"provisioners": ["local-exec"]}),
        ("data terraform_remote_state", {"data_sources": ["terraform_remote_state"]}),
        ("file", {"functions": ["file"]}),
        ("file in a heredoc", {"functions": ["file"]}),
        ("a provider nobody allowed", {"providers": ["hashicorp/aws"]}),
        ("a declared provider", {"providers": ["registry.terraform.io/evil/x"]}),
    ],
)
def test_the_offer_may_allow_single_things(name, allow):
    assert refused(REFUSED[name], Allow(**allow)) == []


def test_what_one_thing_is_allowed_for_does_not_allow_another():
    assert refused(REFUSED["templatefile"], Allow(functions=["file"]))
    assert refused(REFUSED["provisioner"], Allow(provisioners=["remote-exec"]))


def test_a_provider_declared_in_another_file_of_the_folder_counts():
    versions = 'terraform {\n  required_providers {\n    ali = { source = "aliyun/alicloud" }\n  }\n}\n'

    assert refused('resource "ali_vpc" "a" {}\n', **{"versions.tf": versions}) == []
    assert len(refused('resource "ali_vpc" "a" {}\n', **{"sub/versions.tf": versions})) == 1


@pytest.mark.parametrize(
    "path",
    ["a.tf.json", "x/a.tofu", "a.tofu.json", "override.tf", "a_override.tf", "a.auto.tfvars", "terraform.tfvars",
     "b.tfvars.json", "terraform.tfstate", "terraform.tfstate.backup", "A.TF.JSON"],
)  # fmt: skip
def test_files_that_change_a_plan_unseen_are_refused(path):
    assert path in str(file_refusal(path))


@pytest.mark.parametrize("path", ["main.tf", "offer.yaml", "README.md", "part/main.tf", "a.tftpl", "overrides.tf"])
def test_other_files_pass(path):
    assert file_refusal(path) is None


def test_a_provider_has_one_name_for_terraform_and_opentofu():
    assert {
        provider_source("registry.terraform.io/aliyun/alicloud"),
        provider_source("registry.opentofu.org/aliyun/alicloud"),
        provider_source("aliyun/alicloud"),
    } == {"aliyun/alicloud"}
