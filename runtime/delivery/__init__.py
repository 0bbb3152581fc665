"""What is promised of delivery: alerts and telemetry that wait for the broker on the disk."""
