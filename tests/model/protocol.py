"""The whole protocol as one model: all steps of all parties, all promises."""

from collections.abc import Iterator
from random import Random

from tests.model import dingtalk, people, promises, working
from tests.model.beginnings import canceled, late, queued
from tests.model.checking import Explorer, Model
from tests.model.dingtalk import Step
from tests.model.world import IllegalMove, Rules, World, first

PARTIES = (
    dingtalk.people_in_dingtalk,
    dingtalk.pushes,
    dingtalk.take_events,
    dingtalk.handle_events,
    dingtalk.event_leases_lapse,
    working.take_runs,
    working.work,
    working.faults,
    people.callers,
    people.clock,
    people.unlockers,
    people.tampering,
    people.late_writers,
)


def steps(world: World, rules: Rules) -> Iterator[Step]:
    """Everything that can happen next."""
    for party in PARTIES:
        if rules.hold_comes_before_compare:
            yield from party(world, rules)
        else:
            yield from _with_open_transactions(world, party(world, rules))


def _with_open_transactions(world: World, possible: Iterator[Step]) -> Iterator[Step]:
    """Where one transaction takes two steps, nobody else writes to its run in between."""
    locked = {worker.row for worker in world.workers if worker.at == "compared"}
    yield from (step for step in possible if step[0][1] not in locked or step[0][0] == "apply.hold")


def model(rules: Rules, start: World | None = None) -> Model:
    """The protocol under these rules, from the beginning or from a state of its own, ready to be explored."""
    return Model(
        start or first(rules),
        lambda world: steps(world, rules),
        broken_in=promises.broken_in,
        broken_by=lambda before, after: promises.broken_by(before, after, rules),
        at_rest=lambda world: promises.has_come_to_rest(world, rules),
        refusals=(IllegalMove,),
    )


def explore(rules: Rules, *, start: World | None = None, most_states: int = 10_000_000) -> Explorer:
    """Explore it; the result stands in `found`."""
    explorer = Explorer(model(rules, start), most_states=most_states)
    explorer.run()
    return explorer


def wander(rules: Rules, chance: Random, *, walks: int, longest: int) -> Iterator[World]:
    """States deep inside, met on walks by chance; what the product does itself is taken more often than trouble."""
    for number in range(walks):
        world = (first, queued, late, canceled)[number % 4](rules)
        trouble = (0.05, 0.2, 0.5)[number % 3]
        for _ in range(longest):
            yield world
            possible = list(steps(world, rules))
            weights = [1.0 if own else trouble for _, _, own in possible]
            ((_, world, _),) = chance.choices(possible, weights)


def show(world: World) -> str:
    """A state in a line: only what differs from nothing."""
    parts = [f"A{n}({_brief(each)})" for n, each in enumerate(world.approvals)]
    parts += [f"R{n}({_brief(each)})" for n, each in enumerate(world.runs) if each.status]
    parts += [f"W({_brief(each)})" for each in world.workers if each.job]
    return " ".join([*parts, f"space({_brief(world.space)})"])


def _brief(row: tuple[object, ...]) -> str:
    """The fields that are not as they were made."""
    names, fresh = row._fields, type(row)()  # type: ignore[attr-defined]
    values = zip(names, row, fresh, strict=True)
    return ", ".join(f"{name}={_events(value)}" for name, value, usual in values if value != usual)


def _events(value: object) -> object:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return "/".join(f"{event.status or '-'}{event.lease or ''}" for event in value)
    return value
