"""Studies: what the paper claims, measured here. Each trains what is missing and writes one page of results."""
