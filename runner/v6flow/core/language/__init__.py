"""The workflow language: from YAML text to a workflow, and messages about what is wrong with it."""
