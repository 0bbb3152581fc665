"""Everything that is said over MQTT: topics, stamps, connection, publisher, commands."""
