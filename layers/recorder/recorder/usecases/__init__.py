"""The use cases of users and of LiveKit, and the ports that they need."""
