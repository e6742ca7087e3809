"""The objects of a database, and the differences between two states of them. Pure: nothing in here imports Django."""
