"""One policy, its state and its buffers, on one backend."""
