"""GnuPG's keys: where a key or passphrase comes from, and what is wrong with a key that is to sign."""
