"""One HTTPS request to the coordinator: a deadline, a limit on what comes back, and a sentence for what goes wrong."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from types import TracebackType

import httpx
from pydantic import ValidationError

from fedgen import __version__
from fedgen.errors import DataError, ExitCode, FederationError, FedgenError, PrivacyRefusedError, StudyError
from fedgen.protocol.enrolment import ErrorReply
from fedgen_client.plain import printable

CONNECT_SECONDS = 10.0
#: For the whole of one request, however slowly its bytes drip.
REQUEST_SECONDS = 60.0
LARGEST_REPLY = 16 * 2**20
LONGEST_SENTENCE = 500

_ERRORS: dict[int, type[FedgenError]] = {
    ExitCode.INVALID: StudyError,
    ExitCode.REFUSED: PrivacyRefusedError,
    ExitCode.DATA: DataError,
}
# OpenSSL's numbers (x509_vfy.h), as ssl.SSLCertVerificationError.verify_code has them.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME = 9, 10, (62, 64)


class Transport:
    """Requests to one coordinator; a proxy named in HTTPS_PROXY is used unless NO_PROXY names the coordinator.

    Args:
        address: `host:port`.
        context: whom to believe.
    """

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self.address = address
        try:
            self._client = httpx.Client(
                base_url=f"https://{address}",
                verify=context,
                timeout=httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
                # Compressed replies could be small on the wire and fill the memory.
                headers={"Accept-Encoding": "identity", "User-Agent": f"fedgen-client/{__version__}"},
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise FederationError(
                f"The coordinator's address {address!r}, or a proxy's in HTTPS_PROXY, is no address ({error}): "
                "correct it."
            ) from error

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a successful reply.

        Raises:
            FedgenError: a sentence of ours for what failed on the way, or the coordinator's own refusal with the
                exit code it named.
        """
        end = time.monotonic() + REQUEST_SECONDS
        sent = {**(headers or {}), **({"Content-Type": "application/json"} if body else {})}
        try:
            with self._client.stream(method, path, content=body or None, headers=sent) as response:
                content = b"".join(self._limited(response, end))
        except httpx.HTTPError as error:
            raise _translated(error, self.address) from error
        if response.is_success:
            return content
        raise _refused(response.status_code, content, self.address)

    def _limited(self, response: httpx.Response, end: float) -> Iterator[bytes]:
        size = 0
        for part in response.iter_raw():
            size += len(part)
            if size > LARGEST_REPLY:
                raise FederationError(
                    f"The coordinator {self.address} sent more than {LARGEST_REPLY // 2**20} MiB in one reply, which "
                    "none of ours needs: check that the address is the coordinator's."
                )
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the whole reply took too long")
            yield part


def _refused(status: int, content: bytes, address: str) -> FedgenError:
    try:
        reply = ErrorReply.model_validate_json(content)
    except ValidationError:
        what = "sends to another address" if 300 <= status < 400 else "answered"
        return FederationError(
            f"{address} {what} (HTTP status {status}) and not as a fedgen coordinator does: check the address, and "
            "any proxy in between."
        )
    kind = _ERRORS.get(reply.code, FederationError)
    return kind(printable(reply.error, LONGEST_SENTENCE))


def _translated(error: httpx.HTTPError, address: str) -> FederationError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FederationError(_certificate(cause, address))
        if isinstance(cause, ssl.SSLError):
            return FederationError(
                f"{address} does not speak TLS as a coordinator does ({cause.reason or cause}): check the port, and "
                "any proxy in between."
            )
    if isinstance(error, httpx.ProxyError):
        return FederationError(
            f"The proxy does not let us through to the coordinator {address} ({error}): correct HTTPS_PROXY, or name "
            "the coordinator in NO_PROXY."
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        why = "no answer" if isinstance(error, httpx.ConnectTimeout) else str(error)
        return FederationError(
            f"The coordinator {address} cannot be reached ({why}): check the address, that it is running, and that "
            "this machine may connect to it, if need be through the proxy in HTTPS_PROXY."
        )
    if isinstance(error, httpx.TimeoutException):
        return FederationError(
            f"The coordinator {address} did not finish its answer within {REQUEST_SECONDS:g} s: try again later."
        )
    return FederationError(
        f"The connection to the coordinator {address} broke ({error or type(error).__name__}): try again."
    )


def _certificate(error: ssl.SSLCertVerificationError, address: str) -> str:
    host = httpx.URL(f"https://{address}").host
    if error.verify_code in _OTHER_NAME:
        return (
            f"The coordinator's certificate is not made for the name {host}: ask the coordinator to run "
            "`fedgen-server renew` with that name, or for a token with the right address."
        )
    if error.verify_code == _EXPIRED:
        return (
            f"The certificate of {address} has expired: check this machine's clock, then ask the coordinator to run "
            "`fedgen-server renew`."
        )
    if error.verify_code == _NOT_YET_VALID:
        return f"The certificate of {address} is not valid yet: check this machine's clock."
    return (
        f"{address} shows a certificate that the authority pinned when joining did not sign ({error.verify_message}), "
        "so nothing was sent: somebody may be in between, such as a proxy that opens TLS; ask the coordinator."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
