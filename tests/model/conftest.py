"""The application on miniatures, for the steps that are compared with the model's."""

from tests.miniatures import platform
from tests.runs.conftest import approved, decide, order_run, planned, run_of

__all__ = ["approved", "decide", "order_run", "planned", "platform", "run_of"]
