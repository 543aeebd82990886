"""Types of settings that are text of a certain form."""

import re
from typing import Annotated

from pydantic import AfterValidator


def matching(pattern: str, what: str) -> AfterValidator:
    """Return a validator that requires a whole match of a regular expression and says in words what is expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"should be {what}")
        return value

    return AfterValidator(check)


# Of Google Cloud.
Project = Annotated[str, matching(r"[a-z0-9.:-]{1,100}", "the id of a Google Cloud project, such as my-project")]
GsUri = Annotated[str, matching(r"gs://[a-z0-9][a-z0-9._-]*(/\S*)?", "a URI such as gs://bucket/folder")]
Account = Annotated[str, matching(r"[^@\s]+@[^@\s]+", "the e-mail address of a service account")]
