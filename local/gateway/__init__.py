"""The HTTP API as API Gateway serves it: routes, authorizers, CORS, time-outs."""
