"""The `Robot` protocol and one file per kind of robot. Never imports torch."""
