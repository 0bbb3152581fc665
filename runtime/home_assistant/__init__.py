"""What Home Assistant needs to find a camera by itself."""
