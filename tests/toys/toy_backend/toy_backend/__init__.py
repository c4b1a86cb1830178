"""A backend that exists only in tests: organizations that have a list of numbers, in one process."""
