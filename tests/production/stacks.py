"""The stacks that the compose files make, as the documents merge them."""

from pathlib import Path

__all__ = ["FILES", "PRODUCTION", "ROOT", "STACKS", "dotenv"]

ROOT = Path(__file__).resolve().parents[2]

_BASE = ROOT / "docker-compose.yaml"
_CORE = ROOT / "docker-compose.realtime-core.yaml"
_PROD = ROOT / "docker-compose.prod.yaml"
_CORE_PROD = ROOT / "docker-compose.realtime-core.prod.yaml"

FILES = (_BASE, _CORE, _PROD, _CORE_PROD)

STACKS = {
    "terminator": [_BASE],
    "core": [_BASE, _CORE],
    "terminator in production": [_BASE, _PROD],
    "core in production": [_BASE, _CORE, _PROD, _CORE_PROD],
}

PRODUCTION = {
    "PUBLIC_HOST": "ws.example.com",
    "ACME_EMAIL": "ops@example.com",
    "APP_SECRET": "an-app-secret",
    "DEMO_API_KEY": "a-demo-key",
    "GATEWAY_API_KEY": "a-gateway-key",
    "SYMFONY_WEBHOOK_SECRET": "a-webhook-secret",
    "JWT_PUBLIC_KEY_FILE": "scripts/keys/dev_public.pem",
    "REDIS_PASSWORD": "a-redis-password",
    "RABBITMQ_USER": "a-user",
    "RABBITMQ_PASSWORD": "a-rabbit-password",
}
"""What an operator fills in."""


def dotenv(path: Path) -> dict[str, str]:
    """The values that a file like `.env` sets."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))  # type: ignore[misc]
