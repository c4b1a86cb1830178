"""Local steps: functions and commands, each in a child process of its own."""
