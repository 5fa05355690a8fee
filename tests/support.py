"""Names that several test modules share."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
KIND = os.environ.get("OPS_TEST_DATABASE", "sqlite")
REQUIRED = bool(os.environ.get("OPS_TEST_REQUIRE_SERVERS"))
REDIS = {"sqlite": 15, "postgresql": 14, "mariadb": 13}  # each its own, so that they can be tested side by side
SERVERS = {
    "postgresql": "postgresql+psycopg://ops_test:ops_test@127.0.0.1:5432/ops_test",
    "mariadb": "mysql+pymysql://ops_test:ops_test@127.0.0.1:3306/ops_test",
    "redis": f"redis://127.0.0.1:6379/{REDIS[KIND]}",
}
SECRETS = {
    "secret_key": "a-key-for-tests-only-a-key-for-tests-only",
    "seal_keys": "t:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}
