"""What a database has, and how two states of it differ. Pure: nothing in here imports Django."""
