"""Tests of workflows: runs on a virtual clock whose answers a file gives."""
