#!/bin/sh
# Keys for development, in the container `dev-keys` of docker-compose.yaml.
set -eu

sh /scripts/gen_dev_keys.sh
chown -R "$(stat -c %u:%g /scripts)" /scripts/keys
# The gateway verifies with the one, the demo signs with the other.
install -m 444 /scripts/keys/dev_public.pem /token-key/token.pem
install -m 444 /scripts/keys/dev_private.pem /demo-key/demo.pem
