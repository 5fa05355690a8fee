"""A share of the crash points; `python -m tests.chaos.points` tries them all."""

import re
import subprocess
import sys

import pytest

from tests.support import KIND, ROOT

pytestmark = pytest.mark.flow


@pytest.mark.skipif(KIND == "mariadb", reason="the points are tried on SQLite and PostgreSQL")
def test_wherever_the_platform_dies_it_ends_as_if_it_had_not():
    command = [sys.executable, "-m", "tests.chaos.points", "--database", KIND, "--story", "approved, cloud"]

    done = subprocess.run(
        [*command, "--seconds", "30"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )

    tried = re.search(r"crash points tried: (\d+)", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tried, done.stdout
    assert int(tried[1]) > 0
