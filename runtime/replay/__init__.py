"""A recorded video: its measurement, its report, and the regions proposed for it."""
