"""What things cost on this machine: a training step, and a Mamba block beside those of others. Needs torch."""
