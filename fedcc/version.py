"""The version of fedcc; `pyproject.toml` holds the same (a test compares them)."""

__version__ = "0.2.0"
