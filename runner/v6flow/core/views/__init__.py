"""Views: what a run, a plan and a workflow look like to people and programs."""
