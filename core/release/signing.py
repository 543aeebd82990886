"""Ed25519 signatures of manifests (RFC 8032), with keys in PEM files."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import ReleaseError

PRIVATE_FILE, PUBLIC_FILE = "release-key.pem", "release-key.pub.pem"


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Write a new pair of keys, and return the files of the private key and of the public key.

    The private key is readable by its owner only.

    Raises:
      ReleaseError: one of the files exists.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / PRIVATE_FILE, folder / PUBLIC_FILE
    for file, text, mode in zip(files, (private, public), (0o600, 0o644), strict=True):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise ReleaseError(f"{file}: exists already. Choose another folder, or use the existing keys") from None
        with os.fdopen(handle, "wb") as opened:
            opened.write(text)
    return files


def sign(content: bytes, key_file: str | Path) -> str:
    """Return the signature of `content` in Base64. Raises: ReleaseError if the file holds no Ed25519 private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _load(key_file, lambda data: serialization.load_pem_private_key(data, None), Ed25519PrivateKey, "private")
    return base64.b64encode(key.sign(content)).decode()


def is_signed(content: bytes, signature: object, key_files: Sequence[str | Path]) -> bool:
    """Return whether `signature` was made with one of the keys. Raises: ReleaseError for a file without a key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    keys = [_load(file, serialization.load_pem_public_key, Ed25519PublicKey, "public") for file in key_files]
    try:
        decoded = base64.b64decode(signature, validate=True) if isinstance(signature, str) else b""
    except ValueError:
        return False
    for key in keys:
        try:
            key.verify(decoded, content)
        except InvalidSignature:
            continue
        return True
    return False


def _load(file: str | Path, read: Any, kind: type, name: str) -> Any:
    """Return the key in a file. Raises: ReleaseError."""
    try:
        key = read(Path(file).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseError(f"{file}: cannot be read as an Ed25519 {name} key in PEM: {error}") from None
    if not isinstance(key, kind):
        raise ReleaseError(f"{file}: should be an Ed25519 {name} key in PEM; found a key of another kind")
    return key
