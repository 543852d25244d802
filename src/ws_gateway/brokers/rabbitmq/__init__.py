"""RabbitMQ: one link, confirmed publishing, consuming."""
