"""Remember, in the API database, what was done to each cell."""
