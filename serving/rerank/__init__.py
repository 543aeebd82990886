"""Re-ranking: a ranker's list made fresher, more diverse, calibrated or capped. Arrow, NumPy and SciPy only."""
