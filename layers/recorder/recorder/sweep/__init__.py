"""The sweep: settles whatever webhooks missed, and leaves nothing unowned."""
