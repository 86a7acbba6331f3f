"""A server of an application in a thread, and a client for it."""

import contextlib
import http.client
import json
import threading
import time
from typing import NamedTuple

import uvicorn

from lmn_tf.serving.server.run import bound_socket


class Answer(NamedTuple):
    """An answer: its status, its headers in lower case, and its body."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """A client that keeps its connection.

    Args:
        port: Integer. Port of this machine.
    """

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path):
        """Returns the answer to GET."""
        return self.send("GET", path)

    def score(self, document, **headers):
        """Returns the answer to a request for scores: JSON, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.send("POST", "/v1/score", body, {"Content-Type": "application/json", **headers})

    def send(self, method, path, body=None, headers=None):
        """Returns the answer to any request."""
        try:
            self._connection.request(method, path, body, headers or {})
            response = self._connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        except BaseException:
            self.close()
            raise

    def close(self):
        """Closes the connection; the next request opens another one."""
        self._connection.close()


@contextlib.contextmanager
def served(app):
    """Runs an application in a thread, and gives the port."""
    with bound_socket("127.0.0.1", 0) as listener:
        options = {"log_config": None, "lifespan": "on", "ws": "none", "timeout_keep_alive": 300}
        server = uvicorn.Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def client_of(app):
    """Runs an application in a thread, and gives a client for it."""
    with served(app) as port, contextlib.closing(Client(port)) as client:
        yield client
