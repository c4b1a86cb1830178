"""The embedded backend: a federation simulated on this machine, with unmodified vantage6 algorithms."""
