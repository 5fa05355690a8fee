"""What an apply made or may have made, as Terraform told it line by line; what its state does not hold is orphaned.

Terraform says `apply_start` before it asks the provider and `apply_complete` before it writes its state. So what was
begun and not ended when everything died may exist, with an id that nobody knows. The same holds for what failed without
a word of the cloud about it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opsplatform.adapters.terraform_events import Completed, Progress, parse

# Terraform gave a call up, or the provider died with it in hand: both are called failures, the cloud may have carried
# it out.
GIVEN_UP = frozenset({"Plugin did not respond", "Request cancelled", "operation canceled"})


@dataclass
class Journal(Progress):
    """The fold of the messages, with the creations that were begun and what became of them."""

    under_way: set[str] = field(default_factory=set)
    failed_creations: set[str] = field(default_factory=set)

    @classmethod
    def as_shown(cls, resources: Iterable[Mapping[str, Any]]) -> "Journal":
        """The journal as far as it was shown to viewers: what is left of it when a host is gone with its files."""
        journal = cls()
        for each in resources:
            if each["action"] not in {"create", "replace"}:
                continue
            if each["state"] == "done":
                journal.journal.append(Completed(each["address"], "create", each["id_key"], each["id_value"]))
            elif each["state"] == "running":
                journal.under_way.add(each["address"])
        return journal

    def take(self, message: str | Mapping[str, Any] | None) -> None:
        """Fold one message, or the line that carries it."""
        message = parse(message) if isinstance(message, str) else message
        super().take(message)
        hook = message.get("hook") if message else None
        try:
            if message and hook and hook["action"] == "create":
                self._follow(str(message["type"]), str(hook["resource"]["addr"]))
        except (KeyError, TypeError):
            return  # what is misshapen changes nothing

    def made(self) -> dict[str, str | None]:
        """What exists or may exist, by address, with the id its provider gave; None when nobody knows it."""
        explained = {error.address for error in self.errors if error.summary not in GIVEN_UP}
        unsure = self.under_way | (self.failed_creations - explained)
        return {**self.created(), **dict.fromkeys(sorted(unsure))}

    def _follow(self, kind: str, address: str) -> None:
        if kind == "apply_start":
            self.under_way.add(address)
        elif kind in {"apply_complete", "apply_errored"}:
            self.under_way.discard(address)
        if kind == "apply_errored":
            self.failed_creations.add(address)
