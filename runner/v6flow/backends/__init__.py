"""Backends: where task runs happen."""
