"""Re-ranking: rules that make a ranker's list fresher, more diverse, calibrated or capped. Arrow, NumPy and SciPy only.

A rule is a subclass of a kind in `rule`, and its settings a subclass of `RuleSettings` that names it. `Reranking` in
`settings` is the registry: it has a field for each rule. `reranker` composes the configured rules.
"""
