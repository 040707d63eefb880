"""The services below the stack: Postgres, AWS, an issuer, LiveKit, or real ones in their place."""
