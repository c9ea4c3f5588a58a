"""Episodes, across-episodic contexts, sub-goals and file formats. Needs numpy; only `batches` needs torch."""
