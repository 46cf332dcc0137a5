"""Each action of nova and of operators, between any two statements of a run."""
