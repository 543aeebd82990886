"""What a ranker works out itself of each candidate, by name, and which names that takes. No TensorFlow here."""

from collections.abc import Iterable

from transform.features import Features, moments, raw_columns
from transform.names import outputs

TIMES_MET = "times_met"  # how often the candidate stands in the history
EVENTS_SINCE_MET = "events_since_met"  # how many events are later than its last one there
DAYS_SINCE_MET = "days_since_met"
DAYS_BETWEEN = "days_between"  # two of its meetings, in the mean
MEETINGS_DUE = "meetings_due"  # how many times as long as that it is since the last one
HISTORY_SIZE = "history_size"
DAYS_SINCE_LAST = "days_since_last"  # event of the user
HOUR, WEEKDAY = "hour", "weekday"  # of the query, UTC; Monday is 0
SIGNALS = (
    *(TIMES_MET, EVENTS_SINCE_MET, DAYS_SINCE_MET, DAYS_BETWEEN, MEETINGS_DUE),
    *(HISTORY_SIZE, DAYS_SINCE_LAST, HOUR, WEEKDAY),
)


def age_name(name: str) -> str:
    """The signal that holds how many days before the query the moment of feature `name` is."""
    return f"days_since_{name}"


def worked_out(features: Features) -> tuple[str, ...]:
    """All signals that a candidate does not come with."""
    return (*SIGNALS, *map(age_name, moments(features.user | features.item)))


def check(features: Features, of_retriever: Iterable[str]) -> None:
    """Whether every signal has a name of its own.

    Args:
      features: the feature configuration.
      of_retriever: the signals that the retriever gives.
    Raises:
      ValueError: a feature is called as a signal, or a moment's age is.
    """
    every = features.user | features.item
    taken = {*raw_columns(every), *outputs(every)}
    for name in moments(every):
        if age_name(name) in SIGNALS:
            raise ValueError(f"{name!r} would tell rankers {age_name(name)!r}, which they are told already. {_RENAME}")
        if age_name(name) in taken:
            raise ValueError(f"{age_name(name)!r} is a feature, and what rankers are told of {name!r}. {_RENAME}")
    both = sorted(taken & {*SIGNALS, *of_retriever})
    if both:
        raise ValueError(f"{both} are names of what rankers are told of a candidate beside its features. {_RENAME}")


_RENAME = "Rename the feature in `columns`."
