"""The dispatcher against the cases shared with every independent client."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.jsonrpc_conformance import CASES, case_app, differs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return case_app(tmp_path_factory.mktemp("cases")).test_client()


@pytest.mark.parametrize("case", CASES["spec"], ids=lambda case: case["name"])
def test_an_example_of_the_specification_is_answered_as_printed(client, case):
    assert differs(client, case) is None


@pytest.mark.parametrize("case", CASES["derived"], ids=lambda case: case["name"])
def test_a_case_derived_from_the_specification_is_answered_as_agreed(client, case):
    assert differs(client, case) is None


def test_the_cases_pass_under_python_without_asserts():
    ran = subprocess.run(
        [sys.executable, "-O", "-m", "tests.contract.jsonrpc_conformance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "")
