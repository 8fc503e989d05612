"""Which service, with which token, for which app: from options, the environment, the deis client's file and git.

Precedence: an option, its environment variable, the profile (`~/.deis/client.json`), a default. The profile's token is
the controller's: it is sent only to hosts of the controller's own domain, whatever `--url` says.

Source: workflow-cli 2.18, settings and git (profile file, `<label>-builder` as the host of git remotes).
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from deis_logs.errors import CliError, UsageError
from pipeline.limits import KIB, NAME_BYTES

_FILE_BYTES: Final = 64 * KIB
_GIT_SECONDS: Final = 5.0
_APP = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_BYTES - 1}}}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_SCP_REMOTE = re.compile(r"(?:[^@/]+@)?([^:/]+):(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that a command asks.

    Attributes:
        name: What words call it.
        variables: What its environment variables begin with: `<variables>_URL`, `<variables>_TOKEN`.
        label: What stands in place of the controller's `deis.` in its host's name.
        url: Where it is when nothing says.
        tells_absent: Whether 404 with words is about what was asked for, and not about the address.
    """

    name: str
    variables: str
    label: str
    url: str
    tells_absent: bool = False


LOGGER: Final = Service(name="logger", variables="DEIS_LOGS", label="logs", url="http://127.0.0.1:8088")


class Profile(msgspec.Struct, frozen=True):
    """What the deis client remembers of a login; fields that matter to nobody here are left out."""

    controller: str
    token: str = ""
    ssl_verify: bool = True

    @property
    def host(self) -> str:
        """The controller's host, empty when the file names none."""
        return _split(self.controller).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a service is: base URL without a slash at its end, token (empty: none), whether its certificate counts."""

    url: str
    token: str = field(default="", repr=False)
    verify: bool = True
    service: Service = LOGGER

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        host = _split(self.url).hostname or ""
        return host in {"localhost", "::1"} or host.startswith("127.")


def read_profile(env: Mapping[str, str], home: Path) -> Profile | None:
    """Read the deis or hephy client's file: the one that the environment names, else the one that is there.

    Args:
        env: The environment: `DEIS_PROFILE`, `HEPHY_PROFILE` (a name, or a path that ends in `.json`).
        home: The home directory.

    Raises:
        UsageError: The file that the environment names is not there.
        CliError: The file cannot be read, or is no profile.
    """
    for variable, folder in (("DEIS_PROFILE", ".deis"), ("HEPHY_PROFILE", ".hephy")):
        named = env.get(variable, "")
        if named:
            path = Path(named).expanduser() if named.endswith(".json") else home / folder / f"{named}.json"
            if not path.is_file():
                raise UsageError(f"{variable}={named}: there is no file {path}; `deis login` writes it")
            return _load_profile(path)
    for folder in (".deis", ".hephy"):
        path = home / folder / "client.json"
        if path.is_file():
            return _load_profile(path)
    return None


def _load_profile(path: Path) -> Profile:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES), type=Profile)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CliError(f"{path}: {error}; `deis login` writes it anew") from error


def resolve_target(
    *,
    url: str | None,
    token_file: Path | None,
    env: Mapping[str, str],
    profile: Profile | None,
    service: Service = LOGGER,
) -> Target:
    """Decide whom to ask, and with which token.

    Args:
        url: From `--url` or the service's `_URL`; `None` when neither is given.
        token_file: From `--token-file`.
        env: The environment: the service's `_TOKEN`.
        profile: The deis client's, if there is one.
        service: What is asked.

    Raises:
        UsageError: The URL or the token is none.
    """
    derived = service_url(profile.controller, service) if profile else None
    chosen = _check_url(url, service) if url else derived or service.url
    token = _read_token(token_file) if token_file else env.get(f"{service.variables}_TOKEN", "").strip()
    own = profile is not None and _same_domain(_split(chosen).hostname or "", profile.host)
    if profile is not None and own and not token:
        token = profile.token.strip()
    if token and not _TOKEN.fullmatch(token):
        where = f"--token-file, {service.variables}_TOKEN"
        raise UsageError(f"the token is not one word of printable ASCII characters: check {where}")
    verify = profile.ssl_verify if profile is not None and own else True
    return Target(url=chosen, token=token, verify=verify, service=service)


def service_url(controller: str, service: Service = LOGGER) -> str | None:
    """Derive a service's URL from the controller's: the logger of `deis.example.com` is `logs.example.com`.

    Returns:
        `None` when the controller's host does not start with `deis.`.
    """
    parts = _split(controller)
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host.startswith("deis."):
        return None
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{service.label}.{host.removeprefix('deis.')}{port}"


def _check_url(url: str, service: Service) -> str:
    parts = _split(url)
    extra = parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        example = f"https://{service.label}.example.com"
        raise UsageError(f"--url ({service.variables}_URL): {url[:200]!r} is not like {example}")
    return url.rstrip("/")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018 - parses the port, which raises when it is none
    except ValueError:
        return urlsplit("")
    return parts


def _same_domain(host: str, controller: str) -> bool:
    """Whether `host` is the controller, or a sibling under a domain of at least two labels."""
    _, _, domain = controller.partition(".")
    is_name = "." in domain and not domain.replace(".", "").isdigit()
    return bool(host) and (host == controller or (is_name and host.partition(".")[2] == domain))


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(_FILE_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"--token-file {path}: {error.strerror or error}") from error
    if not token:
        raise UsageError(f"--token-file {path}: the file is empty")
    return token


def check_app(app: str) -> str:
    """Return `app` if it can be an app's name.

    Raises:
        UsageError: It cannot.
    """
    if not _APP.fullmatch(app):
        raise UsageError(f"--app: {app[:NAME_BYTES]!r} is no app name (letters, digits, dots and dashes)")
    return app


def app_from_git(controller_host: str, *, directory: Path) -> str | None:
    """Find the app whose git remote on the controller's host belongs to `directory`; `None` when there is none."""
    try:
        answer = subprocess.run(
            ["git", "remote", "-v"],  # noqa: S607 - the user's own git, as the deis client does
            cwd=directory,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return app_of_remotes(answer.stdout.decode("utf-8", "replace"), controller_host=controller_host)


def app_of_remotes(remotes: str, *, controller_host: str) -> str | None:
    """Find the app in the output of `git remote -v`: the first remote `<app>.git` on the controller or its builder."""
    label, dot, domain = controller_host.partition(".")
    hosts = {controller_host, f"{label}-builder{dot}{domain}"}
    for remote in remotes.splitlines():
        fields = remote.split()
        host, path = _split_remote(fields[1]) if len(fields) > 1 else ("", "")
        app = path.strip("/").removesuffix(".git")
        if host in hosts and path.endswith(".git") and _APP.fullmatch(app):
            return app
    return None


def _split_remote(url: str) -> tuple[str, str]:
    if "://" in url:
        parts = _split(url)
        return parts.hostname or "", parts.path
    match = _SCP_REMOTE.fullmatch(url)
    return (match[1].lower(), match[2]) if match else ("", "")
