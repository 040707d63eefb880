"""A stand-in for a LiveKit server with an egress worker, behaving as recorded from the real ones.

`world.World` is the pure core (virtual time, no I/O), `server` puts it on HTTP in real time.
"""
