"""The guard between policy and robot: checks, limits, and the table of faults."""
