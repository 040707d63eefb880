"""API Gateway's HTTP API on one side, the use cases on the other."""
