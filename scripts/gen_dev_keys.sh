#!/bin/sh
# Makes a key pair for development: scripts/keys/dev_private.pem (only you can read it) and dev_public.pem.
# Keys that are there already stay, unless --force is given. Never use these keys for anything real.
set -eu

fail() {
    echo "gen_dev_keys.sh: $1" >&2
    exit 1
}

force=no
case "${1:-}" in
    "") ;;
    --force) force=yes ;;
    *) fail "unknown argument '$1'; the only one is --force" ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
keys=$here/keys
private=$keys/dev_private.pem
public=$keys/dev_public.pem

if [ "$force" = no ] && [ -s "$private" ] && [ -s "$public" ]; then
    echo "The keys are there already: $private (--force makes new ones)"
    exit 0
fi

umask 077
mkdir -p "$keys" || fail "cannot make the folder $keys"
# A private key without its public half stays as well: the half can be had from it.
fresh=$keys/.fresh.$$
trap 'rm -f "$fresh.private" "$fresh.public"' EXIT
if [ "$force" = no ] && [ -s "$private" ]; then
    cp "$private" "$fresh.private"
fi

with_openssl() {
    [ -s "$fresh.private" ] \
        || openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$fresh.private" 2>/dev/null \
        || return 1
    openssl pkey -in "$fresh.private" -pubout -out "$fresh.public" 2>/dev/null
}

with_python() {
    "$1" - "$fresh.private" "$fresh.public" <<'PYTHON'
import os
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

private_path, public_path = sys.argv[1:]
if os.path.exists(private_path):
    with open(private_path, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), password=None)
else:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(private_path, "wb") as file:
        file.write(pem)
pem = key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
with open(public_path, "wb") as file:
    file.write(pem)
PYTHON
}

if command -v openssl >/dev/null 2>&1; then
    with_openssl || fail "openssl could not make the keys"
else
    python=
    for candidate in "$here/../.venv/bin/python" python3; do
        if "$candidate" -c 'import cryptography' >/dev/null 2>&1; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "install openssl, or the Python package cryptography"
    with_python "$python" || fail "Python could not make the keys"
fi

chmod 600 "$fresh.private"
chmod 644 "$fresh.public"
mv -f "$fresh.private" "$private"
mv -f "$fresh.public" "$public"
echo "Development keys: $private, $public"
