"""Tests of workflows: runs on a virtual clock with answers from a file."""
