"""The container `dev-keys` of docker-compose.yaml: its script, with its folders somewhere else."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("scripts", "token-key", "demo-key")


def test_keys_are_made_and_handed_on(tmp_path: Path) -> None:
    """A pair is made once: the gateway gets the public key, the demo the private one. Again the same."""
    text = (ROOT / "deploy/compose/dev-keys.sh").read_text()
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        text = text.replace(f"/{folder}", f"{tmp_path}/{folder}")
    shutil.copy(ROOT / "scripts/gen_dev_keys.sh", tmp_path / "scripts")
    private, public = tmp_path / "demo-key/demo.pem", tmp_path / "token-key/token.pem"
    pairs = []
    for _ in range(2):
        subprocess.run(["sh", "-c", text], check=True, capture_output=True)
        derived = subprocess.run(
            ["openssl", "pkey", "-in", str(private), "-pubout"], check=True, capture_output=True, text=True
        ).stdout
        assert derived == public.read_text()
        pairs.append(derived)
    assert pairs[0] == pairs[1]
