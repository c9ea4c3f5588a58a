"""dmh-edge: Decision Mamba-Hybrid policies, from training to a robot."""

__version__ = "0.2.0"
