"""One measured point, and the names that benchmarks give to collectives."""

from __future__ import annotations

import re
from dataclasses import dataclass

from topologies.errors import FormatError, nearest

__all__ = ["COLUMNS", "ELEMENT_BYTES", "KINDS", "Row", "kind_of"]

#: Columns of a table of measurements; times in microseconds, sizes as nccl-tests counts them.
COLUMNS = (
    "system", "n_nodes", "chips_per_node", "n_ranks", "collective", "algorithm", "protocol",
    "message_bytes", "time_us", "source",
)  # fmt: skip

#: What benchmarks call a collective, without ``_`` and ``-``: the project's name.
_ALIASES = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "reducescatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "alltoallv": "all_to_all",
    "broadcast": "broadcast",
    "bcast": "broadcast",
    "reduce": "reduce",
    "gather": "gather",
    "scatter": "scatter",
    "sendrecv": "sendrecv",
    "send": "send",
    "p2pwrite": "p2p_write",
    "p2pread": "p2p_read",
    "moedispatch": "moe_dispatch",
    "moecombine": "moe_combine",
}

#: Collectives that a row may have.
KINDS = tuple(dict.fromkeys(_ALIASES.values()))

#: Bytes of an element by the names nccl-tests and hccl_test give to data types.
ELEMENT_BYTES = {
    "int8": 1, "uint8": 1, "char": 1, "f8e4m3": 1, "f8e5m2": 1, "fp8_e4m3": 1, "fp8_e5m2": 1,
    "half": 2, "fp16": 2, "bfloat16": 2, "bf16": 2, "int16": 2,
    "int32": 4, "uint32": 4, "int": 4, "float": 4, "fp32": 4,
    "int64": 8, "uint64": 8, "double": 8, "fp64": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A measured point.

    Attributes
    ----------
    collective : str
        One of `KINDS`.
    n_ranks, n_nodes : int
    message_bytes, time_us : float
        Size as nccl-tests counts it, and time out of place.
    algorithm, protocol : str
        As forced, or ``""``: the library's choice.
    where : str
        File and line.
    """

    collective: str
    n_ranks: int
    n_nodes: int
    message_bytes: float
    time_us: float
    where: str
    algorithm: str = ""
    protocol: str = ""


def kind_of(name: object, where: str) -> str:
    """The project's name of a collective.

    Parameters
    ----------
    name : str
        Such as ``AllReduce``, ``all_reduce_perf``, ``alltoall``.
    where : str
        For the message.

    Raises
    ------
    UnknownNameError, FormatError
        If there is no collective of that name, or no name.

    Examples
    --------
    >>> kind_of("AlltoAll", "a log"), kind_of("all_reduce_perf", "a log")
    ('all_to_all', 'all_reduce')
    """
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"{where}: collective (={name!r}) is missing; name one of {', '.join(KINDS)}")
    plain = re.sub(r"(_perf|_test)$", "", name.strip().lower())
    plain = re.sub(r"[^a-z0-9]", "", plain)
    if plain not in _ALIASES:
        raise nearest(f"measured collective ({where})", name.strip(), KINDS)
    return _ALIASES[plain]
