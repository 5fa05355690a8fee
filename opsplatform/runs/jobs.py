"""What a worker takes with it out of the database to plan or apply, so that no transaction is open meanwhile."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from opsplatform.adapters.process_limits import MB
from opsplatform.adapters.terraform import Limits
from opsplatform.catalog import service as catalog
from opsplatform.core.errors import NotFound
from opsplatform.core.leases import Lease
from opsplatform.core.masking import texts_of
from opsplatform.runs import adoption, files
from opsplatform.runs.digest import PlanInputs, digest_of, parts_of
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
    plan_json: bytes
    lock: bytes
    orphans: dict[str, str]
    credential: str
    kind: str

    @property
    def warm_key(self) -> str:
        """What a prepared folder depends on, besides the engine."""
        return f"{self.module}-{self.version[:16]}"

    @property
    def files(self) -> ModuleFiles:
        """What is planned: the module, and what an earlier run left and this one takes in."""
        imports = adoption.render(self.orphans)
        return [*self.module_files, (adoption.FILE, imports)] if imports else self.module_files

    @property
    def ephemeral(self) -> bytes | None:
        """The variables that a plan file does not hold, to be given to the apply again; None when there are none."""
        names = self.rules.get("ephemeral", [])
        values = {name: value for name, value in json.loads(self.variables).items() if name in names}
        return json.dumps(values, ensure_ascii=False).encode() if values else None

    @property
    def limits(self) -> Limits:
        """What Terraform may use."""
        limits = catalog.Limits(**self.rules["limits"])
        return Limits(
            cpu_seconds=limits.cpu_seconds, memory_bytes=limits.memory_mb * MB, disk_bytes=limits.disk_mb * MB
        )

    @cached_property
    def parts(self) -> dict[str, str]:
        """The digests of all that its plan depends on."""
        return parts_of(
            PlanInputs(
                plan=self.plan or b"",
                plan_json=self.plan_json,
                module_version=self.version,
                variables=self.variables,
                lock=self.lock,
                imports=adoption.render(self.orphans),
                lineage=self.lineage,
                serial=self.serial,
                state=self.state or b"",
            )
        )

    @property
    def digest(self) -> str:
        """What binds an approval to its plan."""
        return digest_of(self.parts)


def read_job(run: Run, lease: Lease) -> Job:
    """Collect what the run's next step needs.

    Raises Conflict when the module is not the one that was ordered, NotFound when what was ordered is lost.
    """
    stored = states.latest(run.workspace)
    kept = files.fetch_all(run.id)
    variables = kept.get(files.VARIABLES)
    if not variables:
        raise NotFound(f"The variables of run {run.id} are not there any more, or do not open.")
    try:
        secrets = secret_values(variables, run.rules.get("sensitive", []))
    except ValueError as error:
        raise NotFound(f"The variables of run {run.id} cannot be read any more.") from error
    if stored and stored.resource_count > LARGE:
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
        secrets=secrets,
        rules=run.rules,
        state=stored.content if stored else None,
        lineage=stored.lineage if stored else "",
        serial=stored.serial if stored else 0,
        plan=kept.get(files.PLAN),
        plan_json=kept.get(files.PLAN_JSON, b""),
        lock=kept.get(files.LOCK, b""),
        orphans={} if run.kind == "destroy" else adoption.orphans_of(run.workspace, stored.content if stored else None),
        credential=states.state_credential(run.workspace, run.id, lease.fence),
        kind=run.kind,
    )


def secret_values(variables: bytes, sensitive: list[str]) -> tuple[str, ...]:
    """Every text and number inside the sensitive variables, for the masking of logs."""
    values = json.loads(variables)
    return tuple(text for name in sensitive for text in texts_of(values.get(name)))
