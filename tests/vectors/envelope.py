"""The encrypted envelope (src/credentials/envelope.rs), made and read with the Python package
`cryptography` (48.0), which is what the playgrounds use.

    python3 tests/vectors/envelope.py > tests/vectors/envelope.txt

prints the vectors, and was run by hand, once. A test has every run of the other direction:

    python3 tests/vectors/envelope.py open DERIVATION KEY MOMENT < ENVELOPE

prints what is in an envelope that is read at that moment, or fails.
"""

import base64
import hashlib
import json
import sys

from cryptography.fernet import Fernet

RAW = base64.urlsafe_b64encode(bytes(range(1, 33))).decode()
OTHER = base64.urlsafe_b64encode(bytes(range(2, 34))).decode()
NOW = 1795214286
TTL = 300


def fernet(derivation, key):
    if derivation == "pbkdf2":
        bits = hashlib.pbkdf2_hmac("sha256", key.encode(), b"salt", 310_000)
    elif derivation == "sha256" or key == "changeme":
        bits = hashlib.sha256(key.encode()).digest()
    else:
        return Fernet(key)
    return Fernet(base64.urlsafe_b64encode(bits))


def contents(**others):
    fields = {"app_token": "sk-abc.def", "token_id": 4, "proconnect_token": "", "timestamp": NOW}
    return json.dumps(fields | others)


def seal_once(clear, derivation="raw", key=RAW, at=NOW):
    return fernet(derivation, key).encrypt_at_time(clear.encode(), at)


def seal(clear, derivation="raw", key=RAW, at=NOW):
    return base64.urlsafe_b64encode(seal_once(clear, derivation, key, at)).decode()


def row(name, clear, text, derivation="raw", key=RAW, now=NOW):
    print(" | ".join([name, derivation, key, str(now), clear or "-", text or "-"]))


def vectors():
    print(
        "# Envelopes made by tests/vectors/envelope.py; those whose name begins with `bad.` do not open.\n"
        "#\n"
        "#   name | derivation | key | moment of reading | what is in it | envelope"
    )
    # One text for PBKDF2, which takes its time wherever it is not compiled with optimisation.
    text = "un mot de passe très long"
    for derivation, key in [
        ("raw", RAW),
        ("raw", "changeme"),
        ("sha256", "changeme"),
        ("sha256", RAW),
        ("sha256", text),
        ("pbkdf2", text),
    ]:
        row(f"{derivation}.{key}", contents(), seal(contents(), derivation, key), derivation, key)
    own = json.dumps({"user_id": 4, "timestamp": NOW})
    row("of-the-playground", own, seal(own))
    long = contents(proconnect_token="e" * 4096)
    row("long", long, seal(long))
    row("at-the-limit", contents(), seal(contents(), at=NOW - TTL))
    row("a-minute-ahead", contents(), seal(contents(), at=NOW + 60))

    def bad(name, text, derivation="raw", key=RAW, now=NOW):
        row("bad." + name, "", text, derivation, key, now)

    token = base64.urlsafe_b64decode(seal_once(contents()))

    def twice(binary):
        return base64.urlsafe_b64encode(base64.urlsafe_b64encode(binary)).decode()

    bad("too-old", seal(contents(), at=NOW - TTL - 1))
    bad("of-1970", seal(contents(), at=0))
    bad("from-the-future", seal(contents(), at=NOW + 61))
    bad("from-the-end-of-time", seal(contents(), at=2**64 - 1))
    bad("other-key", seal(contents(), key=OTHER))
    bad("hashed-read-raw", seal(contents(), "sha256"))
    bad("raw-read-hashed", seal(contents()), "sha256")
    bad("hashed-read-pbkdf2", seal(contents(), "sha256", text), "pbkdf2", text)
    bad("encoded-once", seal_once(contents()).decode())
    bad("encoded-thrice", base64.urlsafe_b64encode(seal(contents()).encode()).decode())
    bad("standard-base64", base64.b64encode(base64.b64encode(token)).decode())
    bad("version-81", twice(b"\x81" + token[1:]))
    bad("younger-than-sealed", twice(token[:1] + (NOW + 5).to_bytes(8, "big") + token[9:]))
    bad("other-iv", twice(token[:9] + bytes([token[9] ^ 1]) + token[10:]))
    bad("other-tag", twice(token[:-1] + bytes([token[-1] ^ 1])))
    bad("cut-by-a-byte", twice(token[:-1]))
    bad("cut-by-a-block", twice(token[:-48] + token[-32:]))
    bad("cut-to-the-head", twice(token[:25]))
    bad("cut-to-the-version", twice(token[:1]))
    bad("cut-in-the-middle", seal(contents())[: len(seal(contents())) // 2])
    bad("extended", twice(token + b"\x00"))
    bad("empty", "")
    bad("not-base64", "sk-abc.def")
    bad("not-utf-8", seal_bytes(b"\xff\xfe"))
    bad("huge", "A" * 20_000)


def seal_bytes(clear):
    return base64.urlsafe_b64encode(Fernet(RAW).encrypt_at_time(clear, NOW)).decode()


def open_envelope(derivation, key, moment):
    token = base64.urlsafe_b64decode(sys.stdin.read().strip().encode())
    sys.stdout.write(fernet(derivation, key).decrypt_at_time(token, TTL, int(moment)).decode())


if sys.argv[1:2] == ["open"]:
    open_envelope(*sys.argv[2:])
else:
    vectors()
