"""Training stages, one per file; each has `run(problem, unknowns, rng, progress) -> StageReport`."""
