"""The commands of ``chipweave``, one module each.

They import what they run inside their functions: the help must not wait for pandas.
"""
