"""The pure core: no files, network, clock, threads or randomness; everything is an argument."""
