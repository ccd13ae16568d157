"""Who vouches for a file: detached Ed25519 signatures of releases, bundles and corpus packs, checked offline.

Keys that are trusted come from three places: those pinned in the program (`keys/*.pub`, put there by whoever builds
it), those an administrator of the host put into /etc, and those of the data directory. Releases are held against the
first two alone: whoever may write the data directory must not be able to replace the program.
"""

from appliance.trust.keypair import PublicKey, SigningKey, generate_key, read_public_key, read_signing_key
from appliance.trust.keyring import TrustedKey, add_key, known_keys, pinned_keys, remove_key, system_keys
from appliance.trust.signature import (
    Signature,
    check_signature,
    digest_of,
    parse_signature,
    read_signature,
    sign,
    sign_digest,
    signature_path,
    verify,
)

__all__ = [
    "PublicKey",
    "Signature",
    "SigningKey",
    "TrustedKey",
    "add_key",
    "check_signature",
    "digest_of",
    "generate_key",
    "known_keys",
    "parse_signature",
    "pinned_keys",
    "read_public_key",
    "read_signature",
    "read_signing_key",
    "remove_key",
    "sign",
    "sign_digest",
    "signature_path",
    "system_keys",
    "verify",
]
