"""The JSON of the HTTP contract and of the events."""
