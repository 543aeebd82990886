"""The errors that a user can meet. Each says what was expected, what was found and what to do."""


class TwostepError(Exception):
    """Base of all of them; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(TwostepError):
    """A wrong command or configuration; nothing was run."""

    exit_code = 2


class DataError(TwostepError):
    """Input that cannot be used.

    Args:
      file: the file, or the table where the fault lies between files.
      place: the row, column or key in it.
      found: what stands there.
      todo: what the user can do about it.
    """

    def __init__(self, file: str, place: str, found: str, todo: str):
        super().__init__(f"{file}: {place}: {found}. {todo}")
        self.file, self.place, self.found, self.todo = file, place, found, todo

    def __reduce__(self):
        return type(self), (self.file, self.place, self.found, self.todo)


class ModelError(TwostepError):
    """A model that cannot be fitted, exported or loaded as its contract says."""


class ReleaseError(TwostepError):
    """A release that is missing, damaged or cannot be made."""


class HeldBackError(TwostepError):
    """A gate held back the release; the message names the rule, the value and the bound."""

    exit_code = 3
