"""The pipeline's own TFX components: one folder each, with the spec, the executor and the logic that imports no TFX."""
