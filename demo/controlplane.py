"""A real Kubernetes control plane: built by the Go tool chain, started on free ports of the loopback.

::

    go.mod, go.sum, main.go --go build--> build/controlplane/<hash>/{controlplane, helm} --+--> etcd
      links to `controlplane` under the programs' names                                    +--> kube-apiserver
                                                                                           +--> kube-controller-manager
                                                                                           '--> kube-scheduler

The first build takes 10 CPU-minutes and 150 MB of modules; later ones are cached by Go and by the hash of these files.
"""

import hashlib
import http.client
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo.certificates import Authority, openssl
from demo.fetched import fetch
from demo.server import Server
from demo.stack import StackError, free_ports, wait_until

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

_PARTS: Final = Path(__file__).parent / "controlplane_parts"
_SOURCES: Final = ("go.mod", "go.sum", "main.go")
_BUILT: Final = Path(__file__).parents[1] / "build" / "controlplane"
_HELM: Final = "helm.sh/helm/v3"
_BUILD_SECONDS: Final = 2400  # 10 CPU-minutes, 16 minutes seen on a machine with much else to do
_START_SECONDS: Final = 180
_TOOL_SECONDS: Final = 120

USERS: Final[Mapping[str, str]] = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "nobody": "",
}
"""Who has a token (see `token`), and the group that they are in."""


def missing_tools() -> str:
    """Why no control plane can be started on this machine; empty if one can."""
    needed = ["openssl", *([] if _folder().is_dir() else ["go"])]
    return ", ".join(f"no {tool}" for tool in needed if shutil.which(tool) is None)


def build() -> Path:
    """The folder with `PROGRAMS` and helm, built once for each content of their sources."""
    folder = _folder()
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial.{os.getpid()}")
        partial.mkdir(parents=True)
        _compile(".", partial / "controlplane", _version_flags("k8s.io/kubernetes", _KUBERNETES_VERSIONS))
        _compile(f"{_HELM}/cmd/helm", partial / "helm", _version_flags(_HELM, _HELM_VERSIONS))
        for program in PROGRAMS:
            (partial / program).symlink_to("controlplane")
        with suppress(OSError):  # another run was faster
            partial.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _folder() -> Path:
    content = hashlib.sha256()
    for name in _SOURCES:
        content.update((_PARTS / name).read_bytes())
    return _BUILT / content.hexdigest()[:16]


def _compile(package: str, binary: Path, flags: str) -> None:
    command = ["go", "build", "-C", str(_PARTS), "-trimpath", "-ldflags", flags, "-o", str(binary), package]
    fetch(command, seconds=_BUILD_SECONDS, environment={**os.environ, "CGO_ENABLED": "0"})


_KUBERNETES_VERSIONS: Final = ("k8s.io/component-base/version.git{}", "k8s.io/client-go/pkg/version.git{}")
_HELM_VERSIONS: Final = (f"{_HELM}/pkg/chartutil.k8sVersion{{}}", f"{_HELM}/pkg/lint/rules.k8sVersion{{}}")


def _version_flags(module: str, variables: Sequence[str]) -> str:
    """Linker flags that tell the programs their version: they are not built by their own makefiles."""
    versions = dict(re.findall(r"^\s*(\S+) (v1\.\d+\.\d+|v3\.\d+\.\d+)", (_PARTS / "go.mod").read_text(), re.MULTILINE))
    minor = versions["k8s.io/kubernetes"].split(".")[1]
    told = {f"{_HELM}/internal/version.version": versions[_HELM]}
    for variable in variables:
        told |= {variable.format("Major"): "1", variable.format("Minor"): minor}
        if module != _HELM:
            told[variable.format("Version")] = versions[module]
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in told.items())])


class ControlPlane:
    """One control plane, its data below one folder.

    Args:
        folder: Holds everything of it; not there yet.
        controllers: Whether the controller manager and the scheduler run, too. Without them, pods must name their node,
            and need no service account.
        flags: More flags of the API server.

    Attributes:
        parts: The servers by their programs' names.
        authority: Certificate of who signed the API server's.
    """

    def __init__(self, folder: Path, *, controllers: bool = True, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._make_certificates()
        self.authority = folder / "ca.crt"
        (folder / "tokens.csv").write_text("".join(f'{token(u)},{u},{u},"{group}"\n' for u, group in USERS.items()))
        client, self._peer, api, manager, scheduler = free_ports(5)
        ports = {"etcd": client, "kube-apiserver": api}
        if controllers:
            ports |= {"kube-controller-manager": manager, "kube-scheduler": scheduler}
        self.parts = {name: Server(name, port=port, output=folder / f"{name}.log") for name, port in ports.items()}
        self._flags = [*flags, *([] if controllers else ["--disable-admission-plugins=ServiceAccount"])]
        self.kubeconfig = self.kubeconfig_of("admin")

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{self.parts['kube-apiserver'].address}"

    def kubeconfig_of(self, user: str, *, secret: str | None = None, url: str | None = None) -> Path:
        """A kubeconfig file.

        Args:
            user: One of `USERS`, or a name for who has `secret`.
            secret: A token; that of the user by default.
            url: Of a proxy before the API server.
        """
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        server = f'{{server: "{url or self.url}", certificate-authority: "{self.authority}"}}'
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
            f"clusters: [{{name: here, cluster: {server}}}]\n"
            f'users: [{{name: here, user: {{token: "{secret or token(user)}"}}}}]\n'
            "contexts: [{name: here, context: {cluster: here, user: here}}]\n"
        )
        return path

    def start(self, *programs: str) -> None:
        """Start all parts, or some, and wait until they serve.

        Raises:
            StackError: One does not, or has ended; shows its last words.
        """
        for program in programs or self.parts:
            self.parts[program].run([str(build() / program), *self._arguments(program)])
            check = self._is_ready if program == "kube-apiserver" else self.parts[program].listens
            wait_until(check, seconds=_START_SECONDS, what=f"{program} is ready", every_seconds=0.1)

    def stop(self) -> None:
        """End everything. Nothing is kept, so nobody is asked to put his things in order."""
        with ExitStack() as ending:
            for part in self.parts.values():
                ending.callback(part.kill)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as admin; what it prints.

        Raises:
            StackError: It failed; shows what it said.
        """
        return _run([str(build() / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments], given)

    def helm(self, *arguments: str) -> str:
        """Run helm as admin; what it prints. It keeps what it knows below `folder`.

        Raises:
            StackError: It failed; shows what it said.
        """
        return _run([str(build() / "helm"), "--kubeconfig", str(self.kubeconfig), *arguments], home=self.folder)

    def compact(self) -> None:
        """Let etcd forget all old revisions, so that who asks for one is told that it is gone."""
        address = self.parts["etcd"].address
        revision = _post(address, "/v3/kv/range", '{"key": "AA=="}')
        match = re.search(r'"revision":"(\d+)"', revision)
        if match is None:
            raise StackError(f"etcd names no revision: {revision}")
        _post(address, "/v3/kv/compaction", f'{{"revision": "{match[1]}", "physical": true}}')

    def _is_ready(self) -> bool:
        if not self.parts["kube-apiserver"].listens():
            return False
        context = ssl.create_default_context(cafile=str(self.authority))
        port = self.parts["kube-apiserver"].port
        with closing(http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    def _make_certificates(self) -> None:
        cluster = Authority(self.folder, "ca")
        names = ["IP:127.0.0.1", "IP:10.96.0.1", "DNS:localhost", "DNS:kubernetes.default.svc"]
        cluster.issue("apiserver", subject="/CN=kube-apiserver", usage="serverAuth", names=names)
        front = Authority(self.folder, "front-proxy-ca")
        front.issue("front-proxy", subject="/CN=front-proxy-client", usage="clientAuth")
        openssl(self.folder, "genrsa", "-out", "accounts.key", "2048")
        openssl(self.folder, "rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

    def _arguments(self, program: str) -> list[str]:
        return {
            "etcd": self._etcd,
            "kube-apiserver": self._api_server,
            "kube-controller-manager": self._controller_manager,
            "kube-scheduler": self._scheduler,
        }[program]()

    def _etcd(self) -> list[str]:
        client, peer = f"http://{self.parts['etcd'].address}", f"http://127.0.0.1:{self._peer}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--logger=zap",
            "--log-level=warn",
        ]

    def _api_server(self) -> list[str]:
        return [
            f"--etcd-servers=http://{self.parts['etcd'].address}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # no endpoint may have an address of the loopback
            f"--secure-port={self.parts['kube-apiserver'].port}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            f"--client-ca-file={self.authority}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
            f"--requestheader-client-ca-file={self.folder / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={self.folder / 'front-proxy.crt'}",
            f"--proxy-client-key-file={self.folder / 'front-proxy.key'}",
            "--profiling=false",
            *self._flags,
        ]

    def _controller_manager(self) -> list[str]:
        return [
            *self._as_user("kube-controller-manager"),
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={self.authority}",
            f"--cluster-signing-cert-file={self.authority}",
            f"--cluster-signing-key-file={self.folder / 'ca.key'}",
            "--controllers=*,-node-ipam-controller,-node-route-controller",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-downscale-stabilization=6s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
        ]

    def _scheduler(self) -> list[str]:
        return self._as_user("kube-scheduler")

    def _as_user(self, program: str) -> list[str]:
        config = self.kubeconfig_of(f"system:{program}")
        uses = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        listen = ["--bind-address=127.0.0.1", f"--secure-port={self.parts[program].port}", "--leader-elect=false"]
        return [*(f"--{use}={config}" for use in uses), *listen]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def token(user: str) -> str:
    """The token of one of `USERS`."""
    return f"token-of-{user.replace(':', '-')}"


def _run(command: Sequence[str], given: str | None = None, *, home: Path | None = None) -> str:
    environment = {**os.environ, **({"HOME": str(home)} if home else {})}
    done = subprocess.run(  # noqa: S603 - our own build
        command, input=given, env=environment, check=False, capture_output=True, text=True, timeout=_TOOL_SECONDS
    )
    if done.returncode:
        raise StackError(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def _post(address: str, path: str, body: str) -> str:
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.request("POST", path, body)
        return connection.getresponse().read().decode()
