"""The parts of pika that the gateway uses; it ships no py.typed."""
