"""Planning: a workflow, its params and a directory of organizations become a plan."""
