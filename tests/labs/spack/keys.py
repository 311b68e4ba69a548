"""Throw-away GnuPG keys."""

import subprocess
from pathlib import Path


class Key:
    """A throw-away signing key: `secret` and `public` are files."""

    def __init__(self, folder: Path, *, passphrase: str = "", name: str = "tester", kind: str = "ed25519") -> None:
        home = folder / "g"
        home.mkdir(mode=0o700, parents=True)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase]
        subprocess.run(
            [*gpg, "--quick-gen-key", f"{name} <{name}@localhost>", kind, "sign", "never"],
            check=True,
            capture_output=True,
        )
        self.secret, self.public = folder / "secret.asc", folder / "public.asc"
        self.secret.write_bytes(
            subprocess.run([*gpg, "--armor", "--export-secret-keys"], check=True, capture_output=True).stdout
        )
        self.public.write_bytes(subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout)
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
