"""Measurements: what benchmarks print, read as rows of one table.

`read` takes the output of nccl-tests and rccl-tests (text or JSON), of hccl_test,
and CSV in the project's schema, several files at once, and gives one row a point.
Readers check what they read: a log is refused with one line that names the file,
the line and what to do, and what is left out is said.
"""

from sim.measurements.files import Measurements, read
from sim.measurements.rows import COLUMNS, KINDS, kind_of

__all__ = ["COLUMNS", "KINDS", "Measurements", "kind_of", "read"]
