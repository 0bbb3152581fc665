"""A first look: the sample clip, measured and shown with a broker of its own."""
