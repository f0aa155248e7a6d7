"""Those who look at the pages, as Cloud Run and the Identity-Aware Proxy show them."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

AUDIENCE = "/projects/7/locations/us-central1/services/batchdrop-dashboard"
#: What Cloud Run writes over the signature of a token that it has checked.
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"


def part(value: object) -> str:
    """A part of a token: JSON in base64."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def id_token(email: object = "ada@example.com", **claims: Any) -> str:
    """An ID token, as Cloud Run hands it on."""
    claimed = {
        "iss": "https://accounts.google.com",
        "aud": "32555940559.apps.googleusercontent.com",
        "email": email,
        "email_verified": True,
        "hd": str(email).rpartition("@")[2],
        "exp": int(time.time()) + 3000,
    } | claims
    kept = {k: v for k, v in claimed.items() if v is not None}
    return f"{part({'alg': 'RS256', 'kid': '1'})}.{part(kept)}.{REMOVED}"


def bearer(email: str = "ada@example.com", **claims: Any) -> dict[str, str]:
    """The header of a request through `gcloud run services proxy`."""
    return {"Authorization": f"Bearer {id_token(email, **claims)}"}


@dataclass
class Iap:
    """An Identity-Aware Proxy with keys of its own, and a server that has them."""

    url: str = ""
    kid: str = "k1"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    answer: bytes = b""  #: of the server, and its status
    status: int = 200
    asked: int = 0

    def __post_init__(self) -> None:
        self.publish(self.kid, self.key)

    def publish(self, kid: str, key: ec.EllipticCurvePrivateKey) -> None:
        """The server has this one key."""
        self.kid, self.key = kid, key
        self.answer = json.dumps({kid: self.pem}).encode()

    @property
    def pem(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = self.key.public_key()
        return public.public_bytes(serialization.Encoding.PEM, form).decode()

    def header(self, email: str = "ada@example.com", **more: Any) -> dict[str, str]:
        """The header that the proxy adds for somebody."""
        return {"X-Goog-IAP-JWT-Assertion": self.assertion(email, **more)}

    def assertion(
        self,
        email: str = "ada@example.com",
        *,
        alg: str = "ES256",
        kid: str | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        **claims: Any,
    ) -> str:
        """
        Args:
            alg: as its header has it; with HS256 the secret is the public key.
            key: another than the proxy's own.
            claims: instead of the proper ones; None: without it.
        """
        now = int(time.time())
        claimed = {
            "iss": "https://cloud.google.com/iap",
            "aud": AUDIENCE,
            "email": email,
            "hd": str(email).rpartition("@")[2],
            "sub": "accounts.google.com:117",
            "iat": now - 5,
            "exp": now + 595,
        } | claims
        kept = {k: v for k, v in claimed.items() if v is not None}
        head = {"alg": alg, "typ": "JWT", "kid": self.kid if kid is None else kid}
        signed = f"{part(head)}.{part(kept)}"
        if alg == "none":
            return f"{signed}."
        if alg == "HS256":
            secret = hmac.new(self.pem.encode(), signed.encode(), hashlib.sha256)
            return f"{signed}.{part(secret.digest())}"
        made = (key or self.key).sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(made)
        return f"{signed}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@contextmanager
def serving(iap: Iap) -> Iterator[Iap]:
    """Serves the proxy's keys."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            iap.asked += 1
            self.send_response(iap.status)
            self.end_headers()
            self.wfile.write(iap.answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    iap.url = f"http://127.0.0.1:{server.server_port}/keys"
    try:
        yield iap
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
