"""A headless Chromium, driven over the WebDriver protocol, so that no package is needed."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

NEEDED = ("chromium", "chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # the projector draws with WebGL
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# The text of a page with that of shadow roots and frames, where the dashboards of TensorBoard are.
_TEXT = """
const texts = [];
function walk(node) {
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) texts.push(child.data);
    else if (!["SCRIPT", "NOSCRIPT", "STYLE"].includes(child.nodeName)) {
      if (child.shadowRoot) walk(child.shadowRoot);
      if (child.contentDocument) walk(child.contentDocument);
      walk(child);
    }
  }
}
walk(document.body);
return texts.join(" ").replace(/\\s+/g, " ");
"""


def missing():
    """Returns the programs that are needed and not installed."""
    return [name for name in NEEDED if shutil.which(name) is None]


class Browser:
    """A browser window, open until the end of its `with` block.

    Args:
        width: Integer. Width of the window in pixels. Defaults to `1280`.
        height: Integer. Height of the window in pixels. Defaults to `900`.
    """

    def __init__(self, width=1280, height=900):
        self._profile = tempfile.mkdtemp(prefix="chromium_")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        flags = [*_FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        options = {"args": flags, "binary": shutil.which("chromium")}
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options}}
        self._session = ""
        until = time.monotonic() + 30
        while not self._session:
            try:
                found = self._post("/session", capabilities=capabilities)
                self._session = f"/session/{found['sessionId']}"
            except urllib.error.URLError:  # the driver has not started yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(urllib.error.URLError):
            self._send("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url):
        """Opens a page, also if it differs from the one before only in what follows the `#`."""
        self._post(f"{self._session}/url", url="about:blank")
        self._post(f"{self._session}/url", url=url)

    def run(self, script, *arguments):
        """Runs JavaScript, and returns what it returns."""
        return self._post(f"{self._session}/execute/sync", script=script, args=list(arguments))

    def text(self):
        """Returns the text of the page, including that of shadow roots and frames."""
        return self.run(_TEXT)

    def wait_for(self, words, seconds=60):
        """Waits until the page shows all of some words."""
        until = time.monotonic() + seconds
        while True:
            text = self.text()
            lacking = [word for word in words if word not in text]
            if not lacking:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"the page does not show {lacking}:\n{text}")
            time.sleep(0.5)

    def picture(self, path):
        """Writes what the window shows to a PNG file."""
        path.write_bytes(base64.b64decode(self._send("GET", f"{self._session}/screenshot")))

    def _post(self, path, **body):
        return self._send("POST", path, json.dumps(body).encode())

    def _send(self, method, path, body=None):
        request = urllib.request.Request(f"{self._address}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:  # it says why in its body
            raise RuntimeError(error.read().decode(errors="replace")[:2000]) from error
