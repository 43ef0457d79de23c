"""Routes, one resource a file. They translate; what is done is done in `store`."""
