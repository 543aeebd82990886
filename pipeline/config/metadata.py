"""The database of ML Metadata: an SQLite file in the run folder, or one in a server of PostgreSQL or MySQL."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from core.settings import Settings

PASSWORD = "TWOSTEP_METADATA_PASSWORD"


def _check_plain(value: str) -> str:
    """Return a host, a name or a user; ML Metadata passes it on without quotes. Raises: ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9_/][A-Za-z0-9_.:@/-]*", value):
        raise ValueError("should be letters, digits and `_.:@/-`")
    return value


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", value):
        raise ValueError("should be a name of at most 63 letters, digits and underscores")
    return value


_Plain = Annotated[str, AfterValidator(_check_plain)]
_Name = Annotated[str, AfterValidator(_check_name)]


class _Server(Settings):
    """A database in a server."""

    host: _Plain = Field(description="The host name or address of the server.")
    database: _Name = Field(
        "twostep",
        description="The database; it is created if it does not exist and the user may do so. Several recommenders of "
        "different names may share one.",
    )
    user: _Plain = Field(description="The user.")
    password_file: str | None = Field(
        None,
        min_length=1,
        description="The file of the password, relative to this file's folder. By default the variable "
        f"{PASSWORD}, or else no password.",
    )
    ca_file: str | None = Field(
        None,
        min_length=1,
        description="The file of the certificates (PEM) that sign the server's, relative to this file's folder.",
    )


class PostgreSQL(_Server):
    """A database in a server of PostgreSQL."""

    port: int = Field(5432, ge=1, le=65_535, description="The port.")
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer",
        description="Whether the connection is encrypted and the certificate checked, as in PostgreSQL's `sslmode`.",
    )

    @model_validator(mode="after")
    def _verifies(self) -> "PostgreSQL":
        if self.ssl_mode.startswith("verify-") and self.ca_file is None:
            raise ValueError(f"`ssl_mode: {self.ssl_mode}` needs `ca_file`, the certificates to verify with")
        return self


class MySQL(_Server):
    """A database in a server of MySQL or MariaDB."""

    port: int = Field(3306, ge=1, le=65_535, description="The port.")
    verify_server: bool = Field(
        False, description="Whether the host name in the server's certificate is checked; needs `ca_file`."
    )

    @model_validator(mode="after")
    def _verifies(self) -> "MySQL":
        if self.verify_server and self.ca_file is None:
            raise ValueError("`verify_server` needs `ca_file`, the certificates to verify with")
        return self


class Metadata(Settings):
    """The database of ML Metadata; by default an SQLite file in the run folder."""

    postgresql: PostgreSQL | None = Field(None, description="A database in a server of PostgreSQL.")
    mysql: MySQL | None = Field(None, description="A database in a server of MySQL or MariaDB.")

    @model_validator(mode="after")
    def _one(self) -> "Metadata":
        if self.postgresql is not None and self.mysql is not None:
            raise ValueError("should have either `postgresql` or `mysql`; found both")
        return self
