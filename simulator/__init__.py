"""Random histories of the product in virtual time: see docs/reliability.md, "Simulation".

The parts:

- `plan` draws a history from a seed: the steps of users, rooms, workers and faults. `shrink` makes a failing one short.
- `kernel` keeps virtual time, and switches between processes that can be killed at any point; `loops` is asyncio in it.
- `functions` invokes the product's use cases, sweep and webhooks, and the functions that begin a take and join takes,
  each invocation a process; `ports` stands before their adapters, so that each call waits, fails or is the last one.
- `livekit` is a client of the stand-in for the product's own adapter; `outside` is everybody else in LiveKit.
- `memory` has the tables, the bucket and the bus, which pass the contract suite of the real ones, and a joiner. An
  object holds the seconds of `media`: which of them, by the clock on the wall, and of which egress.
- `users` takes the steps of users; `journal` notes all that was written and seen; `truth` holds it against the facts,
  and `played` what recordings play against the seconds that their takes recorded.
- `saboteurs` puts deliberate bugs in place, each of which the histories have to find. `faults` can be switched on.

One history, worked through. Alice starts a recording of the room `a`: `users` invokes `RecordingService.start`, which
inserts the row through `ports` (a point at which the process may be killed) and asks LiveKit through `livekit`. The
answer is lost (`faults.livekit_hangs_up_late`), so the row has no egress. LiveKit's webhook is delivered by `outside`
as another process, which adopts the egress. Its worker's host is then killed. Sweeps, one a minute, ask the listing,
the room and the handler, and fail the recording with `worker_lost`. At the end all faults are off, `simulation` lets
things calm down, and `truth` and `journal` check every invariant.

Had alice wished it to go on, the verdict would have ended take 1 only. Its hint invokes `functions.go_on`, which begins
take 2; or the hint is lost (`faults.hint_lost`), and the next sweep calls again. In the end `functions.join` writes one
object with the spans of both takes, and `played` checks that none is missing, plays twice or goes before that.
"""
