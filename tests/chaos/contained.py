"""Let pytest run the attacks and the canaries in full, and count what got through."""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from config import child_environment
from tests.chaos.attacks.host import NAMES
from tests.chaos.figures import keep, listed
from tests.support import ROOT

CANARIES = 1000  # what OPS_CHAOS=full hands in


def outcomes(file: str) -> Counter[str]:
    """How many tests of a file passed, failed and were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"tests/chaos/{file}", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, env=child_environment(ops_chaos="full"), check=False)
        cases = list(ET.parse(report).iter("testcase"))
    found = Counter("skipped" if any(part.tag == "skipped" for part in case) else "passed" for case in cases)
    failed = sum(any(part.tag in {"failure", "error"} for part in case) for case in cases)
    return found - Counter(passed=failed) + Counter(failed=failed)


def main() -> int:
    """Run both; 1 when something got through, or when there was no sandbox to hold it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    attacks, canaries = outcomes("test_chaos_attacks.py"), outcomes("test_chaos_canaries.py")
    figures = [
        *listed(
            "Linux with bubblewrap",
            ("attack modules", len(NAMES), "", "≥ 30"),
            ("tests of attacks that were contained", attacks["passed"], "", ""),
            ("tests of attacks that got through", attacks["failed"], "", "0"),
            ("tests of attacks skipped, for want of a sandbox", attacks["skipped"], "", "0"),
        ),
        *listed(
            "SQLite + embedded queue",
            ("canary secrets through every entrance", CANARIES, "", "≥ 1000"),
            ("searches that found one in clear", canaries["failed"], "", "0"),
        ),
    ]
    for figure in figures:
        print(f"{figure['name']}: {figure['value']}")
    keep(chosen.json, figures)
    return 1 if attacks["failed"] or attacks["skipped"] or canaries["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
