"""What a step of a module is expected to take on a host, learned from what it took before."""

from contextlib import suppress

from sqlalchemy.exc import IntegrityError

from opsplatform.adapters.admission import Need
from opsplatform.adapters.process_limits import MB, Used
from opsplatform.core.db import db
from opsplatform.runs.models import RunCost

UNKNOWN = Need(memory_mb=512, cores=1, seconds=60)  # a big provider takes 600 MB; the first run tells
FADING = 0.2  # how much the newest counts; more memory than ever counts at once
WORTH_WRITING = 0.1


def learn(module: str, step: str, used: Used) -> None:
    """Remember what it took this time; nothing is written while it takes what it always does."""
    if not used.seconds:
        return
    seen = Need(used.memory_bytes / MB, used.cpu_seconds / used.seconds, used.seconds)
    known = db.session.get(RunCost, (module, step))
    if known is None:
        with suppress(IntegrityError), db.session.begin_nested():  # two first runs may end at the same moment
            db.session.add(RunCost(module=module, step=step, **vars(seen)))
        return
    faded = {name: _faded(getattr(known, name), value) for name, value in vars(seen).items()}
    faded["memory_mb"] = max(faded["memory_mb"], seen.memory_mb)
    if any(abs(value - getattr(known, name)) > WORTH_WRITING * value for name, value in faded.items()):
        for name, value in faded.items():
            setattr(known, name, value)


def _faded(old: float, new: float) -> float:
    return old + FADING * (new - old)
