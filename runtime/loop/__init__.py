"""The loop: one policy drives one robot at a fixed rate, slot by slot."""
