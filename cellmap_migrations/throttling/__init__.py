"""Leave the cloud room: pause between two batches while a signal says so."""
