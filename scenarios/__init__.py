"""What we ask: the command line, the scenarios, and everything that prints or writes files."""

__version__ = "0.1.0"
