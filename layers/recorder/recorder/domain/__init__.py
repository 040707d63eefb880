"""A recording and its rules: pure, without I/O and without a clock."""
