"""Rules on what is measured, the life of an alert, and whom it is told to."""
