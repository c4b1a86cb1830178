"""The version of v6flow."""

__version__ = "0.1.0"
