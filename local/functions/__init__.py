"""The functions: built, run in the Runtime Interface Emulator, invoked and scheduled."""
