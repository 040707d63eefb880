"""The names under which the local stack deploys the application."""

ACCOUNT = "000000000000"
STACK_NAME = "local"
