"""Prints tests/vectors/sealed.txt: the sealed form as its description in src/seal.rs has it, written
a second time with the Python package `cryptography` (48.0), so that what the program seals and
opens is compared with something other than itself. Run by hand, once:

    python3 tests/vectors/sealed.py > tests/vectors/sealed.txt
"""

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY = bytes(range(1, 33))
FORMER = bytes(range(224, 256))
FOREIGN = bytes(range(100, 132))
SITE = " https://app.example app"
NONCE = bytes(range(0xA0, 0xAC))
LABELS = {
    "session": b"vestibule 1 session",
    "tokens": b"vestibule 1 tokens",
    "sign-in": b"vestibule 1 sign-in",
    "sign-out": b"vestibule 1 sign-out",
}


def expand(secret, site, label, length):
    root = hmac.new(b"vestibule" + site.encode(), secret, hashlib.sha256).digest()  # HKDF-Extract
    return HKDFExpand(SHA256(), length, label).derive(root)


def seal(purpose, associated, plaintext, nonce=NONCE, secret=KEY, site=SITE, version=1, key_id=None):
    key_id = key_id or expand(secret, site, b"vestibule 1 key id", 4)
    key = expand(secret, site, LABELS[purpose], 32)
    return bytes([version]) + key_id + nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def text(sealed):
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def row(verdict, purpose, associated, nonce, plaintext, sealed):
    fields = [purpose, associated.hex(), nonce.hex(), plaintext.hex(), sealed]
    print(f"{verdict} | " + " | ".join(field or "-" for field in fields))


def good(name, purpose, associated, plaintext, nonce=NONCE, secret=KEY):
    row(name, purpose, associated, nonce, plaintext, text(seal(purpose, associated, plaintext, nonce, secret)))


PLACE = b"__Host-vestibule"
PERSON = "Hélène Moreau".encode()
SEALED = seal("session", PLACE, PERSON)


def flipped(at):
    altered = bytearray(SEALED)
    altered[at] ^= 1
    return text(bytes(altered))


def bad(name, sealed, purpose="session", associated=PLACE):
    row("bad." + name, purpose, associated, b"", b"", sealed)


print("""\
# The sealed form, made by tests/vectors/sealed.py: an implementation of its own, not src/seal.rs.
# What the good ones say must open for ever, or the version byte in src/seal.rs is another.
#
#   name | purpose | associated data | nonce | plaintext | text
#
# Associated data, nonce and plaintext are in hexadecimal, `-` is none. Good ones were sealed with
# `key`, those named former with `former`; a ring of the two, in this order, must make and open the
# ones and open the others. No bad one opens for the purpose and associated data in its row.""")
print("key =", text(KEY))
print("former =", text(FORMER))
print("site =", repr(SITE).replace("'", '"'))

for purpose in LABELS:
    good(purpose, purpose, PLACE, PERSON)
good("nothing", "session", PLACE, b"")
good("nowhere", "sign-in", b"", b"state")
good("one-byte", "sign-out", bytes(32), b"\x00")
good("one-block", "tokens", PLACE, bytes(range(16)), bytes(12))
good("a-block-and-one", "tokens", PLACE, bytes(range(17)), bytes([255] * 12))
good("long", "tokens", PLACE + bytes(range(16)), bytes(i % 256 for i in range(700)))
good("former.session", "session", PLACE, PERSON, secret=FORMER)
good("former.sign-out", "sign-out", bytes(32), b"\x01", secret=FORMER)

FORMER_ID = expand(FORMER, SITE, b"vestibule 1 key id", 4)
bad("version-0", flipped(0))
bad("version-2", text(seal("session", PLACE, PERSON, version=2)))
bad("key-id", flipped(1))
bad("key-id-of-the-former", text(seal("session", PLACE, PERSON, key_id=FORMER_ID)))
bad("nonce", flipped(5))
bad("ciphertext", flipped(17))
bad("tag-first", flipped(len(SEALED) - 16))
bad("tag-last", flipped(len(SEALED) - 1))
bad("cut-tag", text(SEALED[:-1]))
bad("cut-to-96-bits-of-tag", text(SEALED[:-4]))
bad("cut-plaintext", text(SEALED[:17] + SEALED[-16:]))
bad("cut-to-header", text(SEALED[:17]))
bad("cut-to-version", text(SEALED[:1]))
bad("extended", text(SEALED + b"\x00"))
bad("padded", base64.urlsafe_b64encode(seal("session", PLACE, bytes(14))).decode())
bad("standard-base64", base64.b64encode(seal("session", PLACE, bytes([251] * 40))).rstrip(b"=").decode())
bad("empty", "")
bad("unknown-key", text(seal("session", PLACE, PERSON, secret=FOREIGN)))
bad("other-site", text(seal("session", PLACE, PERSON, site=" https://other.example app")))
bad("other-client", text(seal("session", PLACE, PERSON, site=" https://app.example other")))
bad("other-site-with-our-key-id", text(seal("session", PLACE, PERSON, site="", key_id=SEALED[1:5])))
bad("other-place", text(seal("session", b"__Host-vestibule-tokens", PERSON)))
bad("no-place", text(seal("session", b"", PERSON)))
for other in ["tokens", "sign-in", "sign-out"]:
    bad(f"sealed-as-{other}", text(seal(other, PLACE, PERSON)))
    bad(f"opened-as-{other}", text(SEALED), purpose=other)
