"""Arrays of any kind and what comes with the rows."""
