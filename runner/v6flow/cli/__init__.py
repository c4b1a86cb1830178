"""The command line: `v6flow COMMAND …`, one file per command."""
