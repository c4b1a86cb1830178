"""The embedded backend: a federation simulated on this machine, with unmodified vantage6 algorithms."""

from v6flow.backends.embedded.backend import EmbeddedBackend

__all__ = ["EmbeddedBackend"]
