"""The operator's side of a run: keys, signals, the permission to arm, and the service manager."""
