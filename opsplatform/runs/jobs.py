"""What a worker takes with it out of the database to plan or apply, so that no transaction is open meanwhile."""

import json
from dataclasses import dataclass
from typing import Any

from opsplatform.catalog import service as catalog
from opsplatform.core.leases import Lease
from opsplatform.core.masking import texts_of
from opsplatform.runs import files
from opsplatform.runs.digest import PlanInputs
from opsplatform.runs.models import Run
from opsplatform.runs.workdir import ModuleFiles
from opsplatform.states import service as states

LARGE = 100  # resources; beyond that the local backend, which writes the whole state after each, is too slow


@dataclass(frozen=True)
class Job:
    """One plan or apply, with everything it needs as plain values."""

    run_id: int
    lease: Lease
    module: str
    version: str
    module_files: ModuleFiles
    workspace: str
    environment: str
    backend: str
    variables: bytes
    secrets: tuple[str, ...]
    rules: dict[str, Any]
    state: bytes | None
    lineage: str
    serial: int
    plan: bytes | None
    lock: bytes
    credential: str
    kind: str

    @property
    def warm_key(self) -> str:
        """What a prepared folder depends on, besides the engine."""
        return f"{self.module}-{self.version[:16]}"

    def inputs(self, plan: bytes, lock: bytes) -> PlanInputs:
        """What the digest of a plan covers."""
        return PlanInputs(
            plan=plan,
            module_version=self.version,
            variables=self.variables,
            lock=lock,
            lineage=self.lineage,
            serial=self.serial,
        )


def read_job(run: Run, lease: Lease) -> Job:
    """Collect what the run's next step needs; raises Conflict when the module is not the one that was ordered."""
    stored = states.latest(run.workspace)
    variables = files.fetch(run.id, files.VARIABLES) or b"{}"
    if states.get(run.workspace).resource_count > LARGE:
        run.backend = "http"
    return Job(
        run_id=run.id,
        lease=lease,
        module=run.module,
        version=run.module_version,
        module_files=catalog.version_files(run.module, run.module_version),
        workspace=run.workspace,
        environment=run.environment,
        backend=run.backend,
        variables=variables,
        secrets=secret_values(variables, run.rules.get("sensitive", [])),
        rules=run.rules,
        state=stored.content if stored else None,
        lineage=stored.lineage if stored else "",
        serial=stored.serial if stored else 0,
        plan=files.fetch(run.id, files.PLAN),
        lock=files.fetch(run.id, files.LOCK) or b"",
        credential=states.state_credential(run.workspace, run.id, lease.fence),
        kind=run.kind,
    )


def secret_values(variables: bytes, sensitive: list[str]) -> tuple[str, ...]:
    """Every text and number inside the sensitive variables, for the masking of logs."""
    values = json.loads(variables)
    return tuple(text for name in sensitive for text in texts_of(values.get(name)))
