"""A plan: as a value, as text, as JSON. Pure: nothing in here imports Django."""
