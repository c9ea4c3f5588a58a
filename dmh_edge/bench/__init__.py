"""Measurements on this machine: the control loop (without torch), a training step, our Mamba block beside others."""
