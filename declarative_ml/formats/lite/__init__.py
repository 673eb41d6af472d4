"""What small runtimes need: the core in their operators, and the encoding as data or as C."""
