"""A real browser: Debian's Chromium without a window, driven by Selenium."""
import json
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WAIT = 60

# The first three are for a machine without a display and a process that is root; the others keep the browser from
# asking its maker's servers for things, which only costs time.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1000",
]


class Browser:
    """One window with its own cookies, which finds a host name at a port of this machine."""

    def __init__(self, driver, host):
        self.driver, self.host = driver, host

    def open(self, path):
        """Navigates, as by the address line, and says what `Cache-Status` the page had."""
        self.driver.get_log("performance")
        self.driver.get(f"http://{self.host}{path}")
        return self.cache_status()

    def cache_status(self):
        """`Cache-Status` of the last document that the window has got since this was last asked."""
        last = None
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document":
                headers = event["params"]["response"]["headers"]
                last = {name.lower(): value for name, value in headers.items()}.get("cache-status", "")
        assert last is not None, f"no document for {self.driver.current_url}"
        return last

    def find(self, selector):
        """The element, when it is there."""
        return self.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector), selector)[0]

    def has(self, selector):
        return bool(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def fill(self, selector, text):
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector):
        self.find(selector).click()

    def submit(self, selector):
        """Clicks, and waits until another page has taken the place of this one."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        self.click(selector)
        self.until(lambda _: self._gone(page), f"another page after {selector}")

    def text(self):
        return self.find("body").text

    def until(self, condition, what):
        return WebDriverWait(self.driver, WAIT).until(condition, f"{what} at {self.driver.current_url}")

    def path(self):
        parts = urlsplit(self.driver.current_url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @staticmethod
    def _gone(element):
        try:
            element.is_enabled()
        except Exception:  # the driver has more than one error for an element of a page that is gone
            return True
        return False


@contextmanager
def browser(host, port, folder):
    """A browser with nothing in it, for which `host` is 127.0.0.1 at `port`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder}")
    options.add_argument(f"--host-resolver-rules=MAP {host}:80 127.0.0.1:{port}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        driver.set_page_load_timeout(WAIT)
        yield Browser(driver, host)
    finally:
        driver.quit()
