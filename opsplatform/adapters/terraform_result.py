"""What became of one Terraform command, and why it did not succeed in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opsplatform.adapters.process import Ended
from opsplatform.adapters.process_limits import NOTHING, Used
from opsplatform.adapters.terraform_events import Completed, Diagnostic, Progress, read_errors

CHANGES_FOUND = 2


@dataclass(frozen=True)
class Finished:
    """What became of one command.

    Attributes:
        code: the exit code; of a plan 2 means that there are changes; negative for a signal.
        succeeded: whether it did what it should, also when a stop came too late.
        canceled: we interrupted it because the watch asked for it.
        timed_out: we interrupted it because its time was over.
        excess: we stopped it because it used more than it may; says of what.
        first_error: the first error in plain words; empty when it succeeded.
        journal: the steps that were completed, with the ids of what they made.
        changes: Terraform's own count: add, change, remove, import, operation.
        outputs: name to `{sensitive, type, value}`; sensitive ones come without value.
        used: memory and CPU time it took.
    """

    code: int
    succeeded: bool
    canceled: bool = False
    timed_out: bool = False
    excess: str = ""
    errors: list[Diagnostic] = field(default_factory=list)
    first_error: str = ""
    journal: list[Completed] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    used: Used = NOTHING


def finished(name: str, ended: Ended, progress: Progress, text: str) -> Finished:
    """The outcome of a command from its messages, and from the `text` it printed besides."""
    found_changes = name == "plan" and ended.code == CHANGES_FOUND and bool(progress.changes)
    succeeded = ended.code == 0 or found_changes
    errors = progress.errors or read_errors(text)
    if not succeeded:
        errors = errors or [Diagnostic(explain(name, ended, (), text))]
    return Finished(
        code=ended.code,
        succeeded=succeeded,
        canceled=ended.canceled,
        timed_out=ended.timed_out,
        excess=ended.excess,
        errors=[] if succeeded else errors,
        first_error="" if succeeded else explain(name, ended, errors, text),
        journal=progress.journal,
        changes=progress.changes,
        outputs=progress.outputs,
        drifted=progress.drifted,
        used=ended.used,
    )


def explain(name: str, ended: Ended, errors: Sequence[Diagnostic], text: str) -> str:
    """Why a command did not succeed, in one sentence."""
    if ended.timed_out:
        return f"terraform {name}: was stopped because its time was over."
    if ended.excess:
        return f"terraform {name}: was stopped because it {ended.excess}."
    if ended.canceled:
        return f"terraform {name}: was stopped on request."
    if errors:
        return errors[0].sentence
    if ended.code < 0:
        return f"terraform {name}: was killed by signal {-ended.code}."
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
    return f"terraform {name}: ended with code {ended.code}: {last[:500]}"
