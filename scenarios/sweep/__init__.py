"""Sweeps: many points, run on many processors, kept in a store that nothing shakes."""
