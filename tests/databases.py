"""Run the tests that touch a database on PostgreSQL and on MariaDB; SQLite is what `make test` uses.

A server that does not answer is said so and skipped; with OPS_TEST_REQUIRE_SERVERS set, as in CI, it fails.
"""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from typing import IO

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


def start(kind: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Begin the tests on one kind of database."""
    places = [str(ROOT / "tests" / name) for name in TOUCHING if (ROOT / "tests" / name).exists()]
    command = [sys.executable, "-m", "pytest", "-q", *places, *sys.argv[1:]]
    env = child_environment(ops_test_database=kind)
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)


def main() -> int:
    """Run them all side by side, tell of one after the other; 0 when no test failed."""
    codes = []
    with ExitStack() as open_logs:
        started = {}
        for kind in KINDS:
            why = trouble(kind)
            if why:
                print(f"== {'MISSING' if REQUIRED else 'SKIPPED'}: no tests on {kind}. {why}", flush=True)
                codes.append(int(REQUIRED))
            else:
                log = open_logs.enter_context(tempfile.TemporaryFile())
                started[kind] = (start(kind, log), log)
        for kind, (process, log) in started.items():
            codes.append(process.wait())
            log.seek(0)
            print(f"== tests on {kind}\n{log.read().decode()}", flush=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
