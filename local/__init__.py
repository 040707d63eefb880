"""The whole stack on one machine, without Docker and without an AWS account."""
