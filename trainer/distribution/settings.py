"""The settings of the devices on which networks are trained. No TensorFlow here."""

from pydantic import Field, field_validator, model_validator

from core.settings import Settings

FIRST_PORT, LAST_PORT = 1, 65535


class Training(Settings):
    """The devices on which networks are trained."""

    gpus: int = Field(
        0,
        ge=0,
        le=64,
        description="The number of GPUs of each machine that train; 0 for the processor. GPUs require the "
        "CUDA libraries of TensorFlow, `pip install tensorflow[and-cuda]`.",
    )
    machines: tuple[str, ...] = Field(
        (),
        max_length=256,
        description="The machines that train together, as `host:port`; the first makes the run, and `twostep train` "
        "runs on each of the others. Empty for this machine alone.",
    )
    wait_minutes: float = Field(
        10, gt=0, le=1440, description="How long a trainer waits for the other machines, in minutes."
    )

    @field_validator("machines")
    @classmethod
    def _addresses(cls, machines: tuple[str, ...]) -> tuple[str, ...]:
        for machine in machines:
            host, _, port = machine.rpartition(":")
            if not host or not port.isdecimal() or not FIRST_PORT <= int(port) <= LAST_PORT:
                raise ValueError("should be `host:port`, such as `10.0.0.1:2222`")
        if len(set(machines)) < len(machines):
            raise ValueError("should name each machine once")
        return machines

    @model_validator(mode="after")
    def _several(self) -> "Training":
        if len(self.machines) == 1:
            raise ValueError("`machines` should name two or more, or none for this machine alone; found one")
        return self
