"""Certificates and users of a real broker that wants to know who is there."""

import subprocess
from pathlib import Path

from demo import kafka

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
PASSWORD = "secret-%s"  # noqa: S105 - of users of a broker that lives as long as a test
LISTENER = "SASL_SSL"

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def make_certificates(folder: Path) -> None:
    """Make `ca.pem`, and `keystore.pem` (key, then certificate) for 127.0.0.1."""
    folder.mkdir(parents=True)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(folder, "req", "-x509", *EC, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests", "-days", "2")
    _openssl(folder, "req", *EC, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=broker")
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    _openssl(folder, "x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    (folder / "keystore.pem").write_bytes((folder / "server.key").read_bytes() + (folder / "server.pem").read_bytes())


def secured_broker(folder: Path) -> kafka.Broker:
    """A formatted broker with TLS, SASL and access rules.

    Users: `admin` and `agent` by PLAIN, `indexer` by both SCRAM mechanisms; `PASSWORD % user`. Only `admin` may do
    anything before `allow`.
    """
    make_certificates(folder / "tls")
    users = " ".join(f'user_{user}="{PASSWORD % user}"' for user in ("admin", "agent"))
    login = f'username="admin" password="{PASSWORD % "admin"}"'
    name = f"listener.name.{LISTENER.lower()}"
    one = kafka.one_broker(
        folder / "broker",
        listener=LISTENER,
        settings={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "tls" / "keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "tls" / "ca.pem"),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            f"{name}.plain.sasl.jaas.config": f"{PLAIN} required {login} {users};",
            f"{name}.scram-sha-256.sasl.jaas.config": f"{SCRAM} required;",
            f"{name}.scram-sha-512.sasl.jaas.config": f"{SCRAM} required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",  # ANONYMOUS is its own controller, on the loopback
        },
    )
    scram = f"[name=indexer,password={PASSWORD % 'indexer'}]"
    one.format("--add-scram", f"SCRAM-SHA-256={scram}", "--add-scram", f"SCRAM-SHA-512={scram}")
    (folder / "admin.properties").write_text(
        f"security.protocol={LISTENER}\nsasl.mechanism=PLAIN\nsasl.jaas.config={PLAIN} required {login};\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={folder / 'tls' / 'ca.pem'}\n"
    )
    return one


def allow(folder: Path, broker: kafka.Broker, *rule: str) -> None:
    """Add an access rule for `agent` and `indexer`."""
    tool = ["org.apache.kafka.tools.AclCommand", "--bootstrap-server", broker.server]
    admin = ["--command-config", str(folder / "admin.properties"), "--add"]
    users = ["--allow-principal", "User:agent", "--allow-principal", "User:indexer"]
    subprocess.run(kafka.java(*tool, *admin, *users, *rule), check=True, timeout=120, stdout=subprocess.DEVNULL)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
