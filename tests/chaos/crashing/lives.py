"""Play a story with a death at one passage: a first life dies there, a second one goes on from what it left."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos.crashing.endings import Ending, broken, comments_twice, look
from tests.chaos.crashing.ground import Ground
from tests.chaos.crashing.passages import Passages, kind_of
from tests.chaos.crashing.scene import a_life
from tests.chaos.crashing.stories import Story
from tests.chaos.crashing.working import processes_in


@dataclass(frozen=True)
class Point:
    """A passage of a story at which it is to die."""

    story: Story
    passage: str

    @property
    def kind(self) -> str:
        """What kind of passage it is."""
        return kind_of(self.passage)

    def __str__(self) -> str:
        return f"{self.story.name} | {self.passage}"


@dataclass(frozen=True)
class Verdict:
    """What came of one point."""

    point: Point
    died: bool
    broken: list[str]
    interrupted: bool = False
    comments_twice: int = 0
    seconds: float = 0.0


class Clean:
    """A story without a death: its passages in their order, and how it ends."""

    def __init__(self, ground: Ground, story: Story) -> None:
        ground.prepare(cold=story.cold)
        ending, _ = _live(ground, story, story.name.replace(",", ""), instrumented=True)
        if ending is None or [run["status"] for run in ending["runs"]][-1:] != ([story.ends] if story.ends else []):
            raise RuntimeError(f"the story {story.name} does not even end well alone: {ending or _last_words(ground)}")
        self.story, self.ending = story, ending
        self.points = [Point(story, line) for line in ground.passages.read_text(encoding="utf-8").splitlines()]


def try_point(ground: Ground, point: Point, clean: Ending, name: str) -> Verdict:
    """Die at this point, live again, and see what is there."""
    begun = time.monotonic()
    ground.prepare(cold=point.story.cold)
    ending, died = _live(ground, point.story, name, instrumented=True, deadly=point.passage)
    if died:
        ending, _ = _live(ground, point.story, name)
    if ending is None:
        return Verdict(point, died, [f"it did not come to an end: {_last_words(ground)}"])
    faults = list(broken(ending, clean, point.passage))
    if left := processes_in(ground.data):
        faults.append(f"processes work on: {left}")
    return Verdict(
        point,
        died,
        faults,
        interrupted=any(run["died"] for run in ending["runs"]),
        comments_twice=comments_twice(ending),
        seconds=time.monotonic() - begun,
    )


def _live(
    ground: Ground, story: Story, name: str, *, instrumented: bool = False, deadly: str | None = None
) -> tuple[Ending | None, bool]:
    """How it ended, None if it did not; and whether it died of what was planned."""

    def life() -> Ending:
        passages = Passages(ground.passages, deadly) if instrumented else None
        with a_life(ground, name, large=story.large, passages=passages) as scene:
            story.play(scene)
            return look(scene)

    result = ground.folder / "ending.json"
    result.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        _last(life, ground, result)
    _, status = os.waitpid(pid, 0)
    return json.loads(result.read_text()) if result.exists() else None, os.WIFSIGNALED(status)


def _last(life: Callable[[], Ending], ground: Ground, result: Any) -> None:
    """Live in this forked process, and leave it."""
    with ground.log.open("w") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    try:
        result.with_suffix(".draft").write_text(json.dumps(life()))
        result.with_suffix(".draft").rename(result)
    except BaseException:  # noqa: BLE001 - nothing may get out of a forked life
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _last_words(ground: Ground) -> str:
    return " / ".join(ground.log.read_text(errors="replace").strip().splitlines()[-3:])
