"""What systemd is told, how each thread shows that it lives, and a new configuration."""
