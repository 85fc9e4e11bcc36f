"""How fast the simulator is, on works whose answers are known.

``python -m benchmarks`` measures every row of `docs/performance.md`, each in a
process of its own; ``python -m benchmarks.simgrid`` runs the same works on
SimGrid; ``pytest benchmarks`` is the same at moderate sizes, for comparing two
versions of the code.
"""
