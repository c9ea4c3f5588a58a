"""The version of dmh-edge."""

__version__ = "0.2.0"
