"""The run that is changed, and the rule all ways of changing one keep.

A kind changes one thing behind our back, as somebody could who has the database, its seal key and the modules' folder.
It answers whether anything differs from what was approved; what is equal in its bytes does not count.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opsplatform.runs.models import Run
from opsplatform.states import service as states
from opsplatform.states.models import Workspace
from tests.chaos.approved import Stage


@dataclass(frozen=True)
class Target:
    """The run to be changed, inside an open transaction."""

    stage: Stage
    run: Run
    rng: random.Random

    @property
    def folder(self) -> Path:
        """The folder of its module."""
        return self.stage.modules / self.run.module

    @property
    def workspace(self) -> Workspace:
        """The row of its workspace."""
        return states.get(self.run.workspace)

    def another(self) -> int:
        """The id of one of the other runs."""
        return self.rng.choice([each for each in self.stage.runs.values() if each != self.run.id])


Kind = Callable[[Target], bool]


def bits(target: Target, content: bytes) -> bytes:
    """One to eight bits flipped, wherever they are."""
    changed = bytearray(content)
    for place in target.rng.sample(range(8 * len(content)), min(target.rng.randint(1, 8), 8 * len(content))):
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
