"""Server-side recording for LiveKit."""
