"""AWS: signed calls, the bucket, the event bus."""
