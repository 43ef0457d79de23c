"""Dataset file formats: one file a format, reading and writing side by side. Torch-free at import; `core` never
imports it."""
