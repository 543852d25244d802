"""The only room that knows Redis and RabbitMQ. It carries bytes; what they mean is known elsewhere."""
