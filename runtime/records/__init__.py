"""What a run leaves behind, and who is told while it goes on."""
