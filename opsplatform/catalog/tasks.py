"""Work of the catalogue that runs in a worker."""

from opsplatform.catalog import service
from opsplatform.core.db import reading, transaction


def read_modules() -> None:
    """Parse what is new in the catalogue once, for all processes; costs next to nothing when nothing is."""
    with reading():
        found = service.read_modules()
    with transaction():
        service.remember_modules(found)


TASKS = {"catalog.read_modules": read_modules}
