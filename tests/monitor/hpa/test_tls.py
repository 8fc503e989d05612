"""Certificates that are exchanged while the listener runs."""

import ssl
from pathlib import Path

import pytest

from demo.certificates import Authority
from monitor.hpa.tls import Certificates


class Files:
    """Two authorities; each signs for a server and a caller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authorities = {name: Authority(folder, name) for name in ("one", "two")}
        for name, authority in self.authorities.items():
            authority.issue(f"server-{name}", subject="/CN=s", usage="serverAuth", names=["DNS:here"])
            authority.issue(f"caller-{name}", subject=f"/CN=of-{name}", usage="clientAuth")

    def pem(self, name: str) -> str:
        return self.authorities[name].certificate.read_text()

    def put(self, name: str) -> None:
        """Let the server's files be those of an authority, as a mounted Secret changes."""
        for kind in ("crt", "key"):
            (self.folder / f"new.{kind}").write_bytes((self.folder / f"server-{name}.{kind}").read_bytes())
            (self.folder / f"new.{kind}").replace(self.folder / f"tls.{kind}")

    def call(self, certificates: Certificates, *, trust: str, caller: str | None) -> str:
        """Common name that the server sees, of a caller who trusts an authority; empty without one."""
        context = ssl.create_default_context(cafile=str(self.authorities[trust].certificate))
        if caller is not None:
            context.load_cert_chain(self.folder / f"caller-{caller}.crt", self.folder / f"caller-{caller}.key")
        return _handshake(certificates.context, context)


def _handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> str:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="here")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    subject = dict(pair for names in (server.getpeercert() or {}).get("subject", ()) for pair in names)
    return subject.get("commonName", "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def files(made: Files) -> Files:
    made.put("one")
    return made


def test_new_files_and_a_new_authority_count_at_the_next_handshake(files: Files) -> None:
    certificates = Certificates(files.folder / "tls.crt", files.folder / "tls.key")
    assert certificates.renew(files.pem("one"))
    assert files.call(certificates, trust="one", caller="one") == "of-one"
    assert files.call(certificates, trust="one", caller=None) == ""
    with pytest.raises(ssl.SSLError, match=r"(?i)unable to get local issuer"):
        files.call(certificates, trust="one", caller="two")

    assert not certificates.renew(files.pem("one"))
    files.put("two")
    assert certificates.renew(files.pem("two"))
    assert files.call(certificates, trust="two", caller="two") == "of-two"
    with pytest.raises(ssl.SSLError):
        files.call(certificates, trust="two", caller="one")
    with pytest.raises(ssl.SSLError):
        files.call(certificates, trust="one", caller="two")


def test_files_that_make_no_pair_leave_the_ones_before(files: Files) -> None:
    certificates = Certificates(files.folder / "tls.crt", files.folder / "tls.key")
    certificates.renew(files.pem("one"))
    (files.folder / "tls.key").write_bytes((files.folder / "server-two.key").read_bytes())
    with pytest.raises(ssl.SSLError):
        certificates.renew(files.pem("one"))
    assert files.call(certificates, trust="one", caller="one") == "of-one"
    files.put("two")
    assert certificates.renew(files.pem("two")), "the next good pair counts"
