"""The verbs as functions: what the command line calls, and what notebooks use."""
