"""Compiled kernels: the inner loops of the network models.

Each is a plain function of arrays with its mathematics in the docstring; the
tests hold each against a slow twin.
"""

# Tells numba what a state is.
from sim.network.kernels import handle

__all__ = ["handle"]
