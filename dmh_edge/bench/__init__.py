"""What things cost on this machine: a control loop (without torch), a training step, a Mamba block beside others."""
