"""Journals: where the events of a run are kept."""
