"""Postgres: the connection and every statement."""
