"""Dataset file formats: one file a format, reading and writing side by side. Torch-free; `core` never imports it."""
