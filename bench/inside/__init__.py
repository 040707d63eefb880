"""What runs in the emulator in the place of a function."""
