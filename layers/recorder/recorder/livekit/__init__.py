"""LiveKit: its egress, its rooms, its webhooks."""
