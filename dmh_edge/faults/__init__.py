"""What fails on purpose: a robot, a session and an operator with a fault, for tests and benchmarks."""
