"""Re-ranking: rules that make a ranker's list fresher, more diverse, calibrated or capped. Arrow, NumPy and SciPy only.

A rule is a subclass of a kind in `rule` with a settings class in `settings`. The name of its field in `Reranking` is
its key in `registry.RULES`. `reranker` composes the configured rules.
"""
