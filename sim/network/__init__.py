"""Network models: how transfers share links.

`reference` is pure SimPy, textbook, the truth; `fluid` is compiled and the
default, and gives the same picoseconds; `analytic` leaves contention out.
"""
