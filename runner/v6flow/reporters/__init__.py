"""Reporters, which report the progress of a run to people; no other part does."""
