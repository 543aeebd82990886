"""The pipeline's own components, a folder each: spec, executor, and the pure logic beside them."""
