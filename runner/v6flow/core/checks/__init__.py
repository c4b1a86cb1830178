"""Checks of a workflow beyond its schema: names, cross-site flow, cohorts, commands, algorithms."""
