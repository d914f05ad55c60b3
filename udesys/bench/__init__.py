"""Published comparisons, one per file: each has a TITLE and a `run` whose parameters are its options."""
