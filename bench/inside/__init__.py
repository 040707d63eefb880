"""Programs that run in the emulator in the place of a function."""
