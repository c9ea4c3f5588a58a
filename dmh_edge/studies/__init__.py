"""Studies that measure the paper's claims. Each trains the policies that are missing and writes one page of results."""
