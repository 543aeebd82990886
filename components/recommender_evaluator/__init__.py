"""Full-catalogue metrics with intervals, by slice, against baselines, and the rules that a release must meet."""
