"""The configuration: one YAML file as typed models, the places that it names, and its checks. No TensorFlow here."""

from pipeline.config.model import Config, load

__all__ = ["Config", "load"]
