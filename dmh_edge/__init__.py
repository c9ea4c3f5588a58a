"""dmh-edge: Decision Mamba-Hybrid policies, from training to a robot."""

__version__ = "0.1.0"
