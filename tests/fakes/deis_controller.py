"""A stand-in for the Deis controller, as far as releases go: our own code after its contract.

A deploy changes the app's Deployment and ends, as the real one's does, by deleting every pod of another version.
Answers can be lost, before or after the work is done; and people can deploy at any moment.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

Json = dict[str, Any]
Call = Callable[..., Json]

TOKENS = {"a" * 40: "telemetry", "b" * 40: "ann"}
"""Tokens and their users."""

TOKEN = "a" * 40


@dataclass
class DeisController:
    """See the module.

    Attributes:
        call: Asks the API server: method, path, body, `kind` of the body.
        lose: What happens to the next rollbacks' answers: `before` or `after` the work, or nothing.
        posts: Rollbacks that were asked for, by app.
        releases: By app, oldest first.
    """

    call: Call
    lose: str = ""
    posts: dict[str, list[int]] = field(default_factory=dict)
    releases: dict[str, list[Json]] = field(default_factory=dict)
    port: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def create(self, app: str, *, replicas: int = 3) -> None:
        """An app with its first release, v1 (no build), and v2, its first deploy."""
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": app, "labels": {"heritage": "deis"}}})
        self.releases[app] = [_release(1, "ann", "ann created initial release", None)]
        labels = {"app": app, "type": "web", "heritage": "deis"}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": replicas}},
            "template": {
                "metadata": {"labels": {**labels, "version": "v1"}},
                "spec": {"containers": [{"name": f"{app}-web", "image": "none"}], "terminationGracePeriodSeconds": 1},
            },
        }
        facts = {"name": f"{app}-web", "labels": labels}
        self.call("POST", f"/apis/apps/v1/namespaces/{app}/deployments", {"metadata": facts, "spec": spec})
        self.deploy(app, "ann")

    def deploy(self, app: str, user: str) -> str:
        """Somebody pushes; the new release's name."""
        with self._lock:
            number = len(self.releases[app]) + 1
            self.releases[app].append(_release(number, user, f"{user} deployed abc{number}", f"build-{number}"))
            self._run(app, self.releases[app][-1])
            return f"v{number}"

    def roll_back(self, app: str, user: str, version: int) -> Json:
        """Make a release out of an older one, and deploy it."""
        with self._lock:
            old = self.releases[app][version - 1]
            number = len(self.releases[app]) + 1
            made = _release(number, user, f"{user} rolled back to v{version}", old["build"])
            self.releases[app].append(made)
            self._run(app, made)
            return {"version": number}

    def _run(self, app: str, release: Json) -> None:
        """Change the Deployment, then delete all pods of other versions: also those that are none of its own."""
        path = f"/apis/apps/v1/namespaces/{app}/deployments/{app}-web"
        name = f"v{release['version']}"
        template = {
            "metadata": {"labels": {"version": name}},
            "spec": {"containers": [{"name": f"{app}-web", "image": release["build"] or "none"}]},
        }
        self.call("PATCH", path, {"spec": {"template": template}}, kind="application/strategic-merge-patch+json")
        pods = f"/api/v1/namespaces/{app}/pods"
        for pod in self.call("GET", f"{pods}?labelSelector=type%3Dweb%2Cversion%21%3D{name}")["items"]:
            with contextlib.suppress(AssertionError):  # it went by itself
                self.call("DELETE", f"{pods}/{pod['metadata']['name']}")

    def hook(self, app: str, release: str, *, address: str, signed: str, key: str, summary: str = "") -> int:
        """Call a deploy hook at `address`, signed for the URL `signed`; the answer's status."""
        told = {"app": app, "release": release, "release_summary": summary, "sha": "abc", "user": "ann"}
        query = urlencode(sorted(told.items()))
        signature = hmac.new(key.encode(), f"{signed}?{query}".encode(), hashlib.sha1).hexdigest()
        with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            path = f"{urlsplit(signed).path}?{query}"
            connection.request("POST", path, headers={"Authorization": signature, "Content-Length": "0"})
            return connection.getresponse().status

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the API inside the block."""
        controller = self

        class Handler(_Handler):
            deis = controller

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, name="deis")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _release(version: int, user: str, summary: str, build: str | None) -> Json:
    return {
        "app": "",
        "build": build,
        "config": "config-1",
        "created": "2026-11-24T12:00:00UTC",
        "owner": user,
        "summary": summary,
        "updated": "2026-11-24T12:00:00UTC",
        "uuid": f"uuid-{version}",
        "version": version,
        "failed": False,
    }


class _Handler(BaseHTTPRequestHandler):
    deis: DeisController

    def do_GET(self) -> None:
        user = self._user()
        if user is None:
            return
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["v2", "auth", "whoami"]:
            self._answer(200, {"username": user})
        elif parts[:2] == ["v2", "apps"] and parts[3:] == ["releases"] and parts[2] in self.deis.releases:
            found = self.deis.releases[parts[2]][::-1]
            self._answer(200, {"count": len(found), "next": None, "previous": None, "results": found})
        else:
            self._answer(404, "Not found.")

    def do_POST(self) -> None:
        user = self._user()
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        parts = urlsplit(self.path).path.strip("/").split("/")
        if user is None:
            return
        if parts[3:] != ["releases", "rollback"]:
            self._answer(404, "Not found.")
            return
        app, lose = parts[2], self.deis.lose
        self.deis.posts.setdefault(app, []).append(sent["version"])
        if lose == "before":
            self.close_connection = True
            return
        made = self.deis.roll_back(app, user, sent["version"])
        if lose == "after":
            self.close_connection = True
            return
        self._answer(201, made)

    def _user(self) -> str | None:
        user = TOKENS.get(self.headers.get("Authorization", "").removeprefix("token "))
        if user is None:
            self._answer(401, {"detail": "Authentication credentials were not provided."})
        return user

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("DEIS_API_VERSION", "2.3")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
