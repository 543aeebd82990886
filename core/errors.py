"""The errors shown to users. A message states what was expected, what was found and what to do."""


class TwostepError(Exception):
    """The base of all errors of the package; `exit_code` is the exit code of the command line."""

    exit_code = 1


class UsageError(TwostepError):
    """A wrong command or configuration, found before anything was run."""

    exit_code = 2


class DataError(TwostepError):
    """Input that cannot be used.

    Args:
      file: the file, or the table if the fault is not in a single file.
      place: the row, column or key in the file or table.
      found: what was found there.
      todo: what the user can do about it.
    """

    def __init__(self, file: str, place: str, found: str, todo: str):
        super().__init__(f"{file}: {place}: {found}. {todo}")
        self.file, self.place, self.found, self.todo = file, place, found, todo

    def __reduce__(self):
        return type(self), (self.file, self.place, self.found, self.todo)


class ModelError(TwostepError):
    """A model that cannot be fitted, exported or loaded according to its contract."""


class ReleaseError(TwostepError):
    """A release that is missing, damaged or cannot be published."""


class StorageError(TwostepError):
    """A place that could not be read or written; `core.storage.errors` has a class for each cause.

    Attributes:
      transient: whether the same request may succeed a little later.
    """

    transient = False


class SubmissionError(TwostepError):
    """A request that an orchestrator (Kubeflow Pipelines, Vertex AI) refused, or a run that failed there."""


class OrchestratorUnreachableError(SubmissionError):
    """An orchestrator that does not answer now: no connection, a timeout, or an answer such as 503."""


class HeldBackError(TwostepError):
    """Models that were not released because a rule was not met; the message names the rule, the value and the bound."""

    exit_code = 3
