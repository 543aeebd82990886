"""The last events that models know, from which follows which of them a fit may begin with. Arrow and NumPy only."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names


def last_events(*tables: pa.Table) -> pa.Table:
    """Return user_id and the timestamp of the user's last event, each user once, from columns of these names."""
    columns = [names.USER_ID, names.TIMESTAMP]
    both = pa.concat_tables([table.select(columns) for table in tables])
    return both.group_by(names.USER_ID, use_threads=False).aggregate([(names.TIMESTAMP, "max")]).rename_columns(columns)


def later(base: pa.Table, own: pa.Table, of_each_user: bool) -> int:
    """Return the number of users of whom a base knows an event that is later than those that a fit may know.

    The events of eval and test are later than those that the fit is given: all of them in a `temporal` split, those of
    the same user in the other splits in time. So with 0 the base knows no event of eval or test.

    Args:
      base: the result of `last_events` for all events that the base was fitted on, in earlier runs too.
      own: the same for the events that the fit is given.
      of_each_user: whether a user's events are split by the user's own times; otherwise the times are those of all.
    """
    if not of_each_user:
        last = pc.max(own[names.TIMESTAMP])
        return int(pc.sum(pc.greater(base[names.TIMESTAMP], last)).as_py() or 0)
    rows = pc.index_in(own[names.USER_ID].combine_chunks(), value_set=base[names.USER_ID].combine_chunks())
    both = np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False))
    of_base = base[names.TIMESTAMP].to_numpy()[rows.drop_null().to_numpy()]
    return int((of_base > own[names.TIMESTAMP].to_numpy()[both]).sum())
