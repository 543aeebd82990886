"""One module a command of `twostep`; each imports what is heavy inside the function that needs it."""
