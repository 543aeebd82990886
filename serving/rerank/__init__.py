"""Re-ranking: rules that make a ranker's list fresher, more diverse, calibrated or capped. Arrow, NumPy and SciPy only.

A rule is a subclass of one of the kinds in `rule`; its settings are a subclass of `RuleSettings`, whose `RULE` names
the rule. `Reranking` in `settings` is the registry, with a field per rule. `reranker` applies the configured rules.
"""
