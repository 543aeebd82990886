"""The configuration: typed models of the YAML file, the paths of files and folders, and checks; no TensorFlow."""

from pipeline.config.model import Config, load

__all__ = ["Config", "load"]
