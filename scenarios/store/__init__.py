"""Where runs are kept: one SQLite file that many processes may write, and none can break."""

from scenarios.store.runs import Outcome
from scenarios.store.store import Store

__all__ = ["Outcome", "Store"]
