"""The names of slices, in a module without Arrow, so that checking a configuration does not import it."""

USER_WARM, USER_COLD = "user:warm", "user:cold"
ITEM_WARM, ITEM_COLD, ITEM_HEAD, ITEM_TAIL = "item:warm", "item:cold", "item:head", "item:tail"
OF_ITEMS = (ITEM_WARM, ITEM_COLD, ITEM_HEAD, ITEM_TAIL)
ALWAYS = (USER_WARM, USER_COLD, *OF_ITEMS)


def of_value(column: str, value: str) -> str:
    """Return the name of the slice of the users or items that have `value` in `column`."""
    return f"{column}={value}"
