"""Reporters: the only ones that write for people while a run goes on."""
