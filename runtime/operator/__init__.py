"""The operator's side of a run: keys, signals, the arm question, and the service manager."""
