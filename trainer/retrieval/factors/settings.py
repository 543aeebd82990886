"""The settings of the matrix factorisation models. No TensorFlow here."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from core.patterns import matching
from core.settings import Settings
from trainer.tuning.space import between

_Master = Annotated[
    str,
    matching(
        r"local\[([1-9]\d*|\*)\]|spark://[^\s/,]+:\d{1,5}(,[^\s/,]+:\d{1,5})*|yarn|k8s://\S+",
        "local[N], local[*], spark://HOST:PORT, yarn or k8s://https://HOST:PORT",
    ),
]
_Memory = Annotated[str, matching(r"[1-9]\d*[mg]", "a number of MiB or GiB, such as 900m or 4g")]
# The properties of Spark that have a key of their own, or that a fit needs as they are → what to set in their place.
_OURS = {
    "spark.master": "master",
    "spark.driver.memory": "memory",
    "spark.executor.memory": "memory",
    "spark.default.parallelism": "blocks",
    "spark.sql.files.minPartitionNum": "blocks",
}


class Spark(Settings):
    """A fit by Apache Spark, on this machine or on a cluster."""

    master: _Master = Field(
        "local[*]",
        description="The place of the fit: local[N], N cores of this machine; local[*], all of them; the cluster "
        "spark://HOST:PORT, yarn or k8s://https://HOST:PORT.",
    )
    memory: _Memory = Field(
        "2g", description="The memory of the driver, and of each executor of a cluster, in MiB or GiB: 900m, 4g."
    )
    blocks: int = Field(
        10,
        ge=1,
        le=10_000,
        description="The number of parts that the users and the items are divided into, at least the number of cores; "
        "another number gives other vectors.",
    )
    folder: str | None = Field(
        None,
        pattern=r"^/",
        description="The path of a folder that this machine and all machines of the cluster share, for the events and "
        "the vectors; null for a temporary folder, with a local master only.",
    )
    start_seconds: int = Field(
        300, ge=1, le=86_400, description="The longest wait for the first executor of a cluster, in seconds."
    )
    conf: dict[str, str] = Field(
        default_factory=dict,
        description="Other properties of Spark, such as spark.executor.cores. Passwords belong into the file "
        "spark-defaults.conf below SPARK_CONF_DIR, which Spark reads too.",
    )

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")

    @field_validator("conf")
    @classmethod
    def _are_properties(cls, conf: dict[str, str]) -> dict[str, str]:
        for name in conf:
            if name in _OURS:
                raise ValueError(f"{name} should be left out; set `{_OURS[name]}`")
            if not name.startswith("spark."):
                raise ValueError(f"should be properties of Spark, which begin with `spark.`; found {name!r}")
        return conf

    @model_validator(mode="after")
    def _is_shared(self) -> "Spark":
        if self.folder is None and not self.is_local:
            raise ValueError(
                f"`master: {self.master}` needs `folder`, which the machines of the cluster share with this one; add it"
            )
        return self


class IALSSettings(Settings):
    """Implicit matrix factorisation by alternating least squares (Hu, Koren & Volinsky, 2008)."""

    factors: int = Field(
        64,
        ge=1,
        le=4096,
        description="The size of the users' and items' vectors.",
        json_schema_extra=between(16, 256, log=True),
    )
    regularization: float = Field(
        0.1,
        gt=0,
        le=1_000_000,
        description="The penalty on squared vectors, in units of the mean number of events of a user; larger values "
        "shrink the vectors.",
        json_schema_extra=between(0.005, 1, log=True),
    )
    alpha: float = Field(
        0.5,
        gt=0,
        le=1_000_000,
        description="The amount by which each event of a user with an item raises the confidence of the pair, which "
        "is 1 without events.",
        json_schema_extra=between(0.05, 20, log=True),
    )
    iterations: int = Field(
        10,
        ge=1,
        le=10_000,
        description="The number of alternating least-squares iterations.",
        json_schema_extra=between(5, 30, log=True),
    )
    spark: Spark | None = Field(
        None,
        description="The fit by Spark's ALS, which weights the penalty of a user or item by the number of its pairs; "
        "null to fit with `implicit` on this machine.",
    )


class BPRSettings(Settings):
    """Matrix factorisation by Bayesian personalised ranking (Rendle et al., 2009)."""

    factors: int = Field(
        64,
        ge=1,
        le=4096,
        description="The size of the users' and items' vectors.",
        json_schema_extra=between(16, 256, log=True),
    )
    regularization: float = Field(
        0.01,
        ge=0,
        le=1_000_000,
        description="The L2 penalty on vectors and biases; larger values shrink them.",
        json_schema_extra=between(0.0003, 0.1, log=True),
    )
    learning_rate: float = Field(
        0.05,
        gt=0,
        le=10,
        description="The learning rate of stochastic gradient descent.",
        json_schema_extra=between(0.005, 0.2, log=True),
    )
    iterations: int = Field(
        200,
        ge=1,
        le=10_000,
        description="The number of passes over the events.",
        json_schema_extra=between(50, 400, log=True),
    )
