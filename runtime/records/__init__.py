"""The records of a run: the files that it leaves behind, and the live view."""
