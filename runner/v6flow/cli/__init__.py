"""The command line: `v6flow COMMAND …`, one command a file."""
