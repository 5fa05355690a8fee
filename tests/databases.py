"""Run the tests that touch a database on PostgreSQL and on MariaDB; SQLite is what `make test` uses.

A server that does not answer is said so and skipped; with OPS_TEST_REQUIRE_SERVERS set, as in CI, it fails.
"""

import subprocess
import sys

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from config import child_environment
from tests.support import REQUIRED, ROOT, SERVERS

KINDS = ("postgresql", "mariadb")
TOUCHING = (
    "accounts", "approvals", "catalog", "core", "flows", "inventory", "model", "notifications", "runs", "states",
    "test_backup.py", "test_migrations.py", "test_rotation.py",
)  # fmt: skip


def trouble(kind: str) -> str | None:
    """Why a server cannot be used; None when it can."""
    engine = create_engine(SERVERS[kind], connect_args={"connect_timeout": 3})
    try:
        engine.connect().close()
    except OperationalError as error:
        return f"{kind} does not answer at {engine.url!r}: {str(error.orig).splitlines()[0]}"
    finally:
        engine.dispose()
    return None


def run(kind: str) -> int:
    """Run the tests on one kind of database; the exit code."""
    places = [str(ROOT / "tests" / name) for name in TOUCHING if (ROOT / "tests" / name).exists()]
    print(f"== tests on {kind}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", *places, *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=child_environment(ops_test_database=kind), check=False).returncode


def main() -> int:
    """Run them all; 0 when no test failed."""
    codes = []
    for kind in KINDS:
        why = trouble(kind)
        if why:
            print(f"== {'MISSING' if REQUIRED else 'SKIPPED'}: no tests on {kind}. {why}", flush=True)
        codes.append(int(REQUIRED) if why else run(kind))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
