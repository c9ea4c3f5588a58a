"""Faults on purpose: a robot, a session and an operator that fail, for tests and benchmarks."""
