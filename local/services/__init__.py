"""What the stack stands on: Postgres, AWS, an issuer, LiveKit, or real ones in their place."""
