"""The settings of `ws-gateway consume`."""

from typing import ClassVar

from attrs import Factory, frozen

from ws_gateway.config import kinds
from ws_gateway.config.brokers import Brokers, RabbitMQ, Redis
from ws_gateway.config.fields import Group, setting

__all__ = ["Consumer", "ConsumerSettings"]


@frozen
class Consumer(Group):
    """What only `ws-gateway consume` knows."""

    heading: ClassVar[str] = "Consumer"

    log_level: str = setting(
        "WS_CONSUMER_LOG_LEVEL",
        kinds.choice("debug", "info", "warn", "error", "critical", also={"warning": "warn"}),
        "The least important log lines that are written.",
        default="INFO",
        aliases=("LOG_LEVEL",),
    )
    log_format: str = setting(
        "LOG_FORMAT",
        kinds.choice("json", "text"),
        "One JSON object a line, or text for people.",
        default="json",
    )


@frozen(kw_only=True)
class ConsumerSettings:
    """The settings of `ws-gateway consume`: those of the brokers mean the same as for the gateway."""

    brokers: Brokers = Factory(Brokers)
    redis: Redis = Factory(Redis)
    rabbitmq: RabbitMQ = Factory(RabbitMQ)
    consumer: Consumer = Factory(Consumer)
