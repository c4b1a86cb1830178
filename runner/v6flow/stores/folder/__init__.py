"""Runs in a folder: SQLite journals, locks and checkpoints."""
