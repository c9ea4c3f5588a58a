"""Episodes, across-episodic contexts, sub-goals and file formats. numpy; torch in `batches` alone."""
