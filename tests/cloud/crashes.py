"""What the tests of crashes share: kill Terraform as a machine does, and account for everything in the cloud."""

import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cloud.client import Cloud
from tests.flows.conftest import Api


def unaccounted(cloud: Cloud, api: Api) -> list[dict[str, Any]]:
    """Objects of the cloud that are neither active nor orphaned on the platform's record.

    An orphan without an id stands for one object of its name.
    """
    rows = [row for row in api.call("resource.list", limit=200)["items"] if row["state"] != "destroyed"]
    known = {row["provider_id"] for row in rows}
    nameless = Counter(row["address"] for row in rows if row["state"] == "orphaned" and not row["provider_id"])
    lost = []
    for made in cloud.objects():
        if made["id"] in known:
            continue
        address = _address(made["name"])
        if nameless[address] > 0:
            nameless[address] -= 1
        else:
            lost.append(made)
    return lost


def kill_terraform(data_dir: Path, run_id: int) -> None:
    """kill -9 a run's Terraform with everything it started."""
    os.killpg(_process(data_dir, run_id), signal.SIGKILL)


def kill_provider(data_dir: Path, run_id: int) -> None:
    """kill -9 the provider of a run's Terraform, as a machine short of memory does."""
    session = _process(data_dir, run_id)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_provider(entry, session):
            os.kill(int(entry.name), signal.SIGKILL)


def _process(data_dir: Path, run_id: int) -> int:
    (folder,) = (data_dir / "runs").glob(f"{run_id}-*")
    return int((folder / "process").read_text().split()[0])


def _is_provider(entry: Path, session: int) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
        return os.getsid(int(entry.name)) == session and b"terraform-provider-fakecloud" in words
    except OSError:
        return False


def _address(name: str) -> str:
    number = re.fullmatch(r".*-(\d+)", name)
    return f"fakecloud_server.each[{int(number[1]) - 1}]" if number else "fakecloud_server.this"
