"""What is measured once, before running: frames and ranges for INT8, millimetres per pixel."""
