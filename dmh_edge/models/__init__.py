"""The policies: Mamba, transformer and DM-H, each with `forward` and `step` in one class. This package needs torch."""
