#!/usr/bin/env python3
"""Opens the pages of temper-serve in a headless Chromium and checks what a user sees.

  scripts/browser/test.py [--pictures FOLDER] [--browser PROGRAM] [-k WORD]     against a mock of the server
  scripts/browser/test.py --url http://127.0.0.1:8000 [--key KEY]               against a temper-serve that runs

Needs Chromium (apt-get install chromium) and nothing else beside Python 3.9. Prints a line a check; exit code 1 where one failed.
"""

import argparse
import sys
import traceback
from pathlib import Path
from urllib.parse import urlsplit

import checks_chat
import checks_live
import checks_server
from devtools import Browser, Failure
from mock_server import Mock, Run


class World:
    """A browser before a server. What its pages ask of other hosts and what errors they have is every check's failure."""

    def __init__(self, browser, pictures, url=None, key=""):
        self.browser, self.pictures, self.key = browser, pictures, key
        self.mock = None if url else Mock(run=Run())
        self.url = url or self.mock.url
        self.pages = []

    def open(self, path, **view):
        self.pages.append(self.browser.page(self.url + path, **view))
        return self.pages[-1]

    def chat(self, **view):
        page = self.open("/", **view)
        self._give_key(page)
        checks_chat.ready(page)
        return page

    def live(self, **view):
        page = self.open("/live", **view)
        self._give_key(page)
        page.wait("!document.querySelector('#run').hidden", "the run is there")
        return page

    def picture(self, page, name):
        if self.pictures:
            page.picture(self.pictures / f"{name}.png")

    def check_pages(self):
        for page in self.pages:
            if page.errors:
                raise Failure("errors in the page: " + "; ".join(page.errors))
            for request in page.requests:
                if not request.startswith(("data:", "blob:")) and urlsplit(request).netloc != urlsplit(self.url).netloc:
                    raise Failure(f"asks another host: {request}")

    def _give_key(self, page):
        if not self.key:
            return
        page.wait("document.querySelector('dialog[open] #key')", "the key is asked for")
        page.fill("#key", self.key)
        page.press("Enter")


def run_check(check, room, browser, args):
    world = World(browser, args.pictures, args.url, args.key)
    try:
        check(world)
        world.check_pages()
    except Failure as failure:
        if args.pictures and world.pages:
            world.picture(world.pages[-1], f"FAILED-{room}-{check.__name__}")
        errors = [error for page in world.pages for error in page.errors]
        print(f"FAIL {room} {check.__name__}: {failure}" + "".join(f"\n     {error}" for error in errors))
        return False
    except Exception:  # a mistake of the check itself fails it, and the others go on
        print(f"FAIL {room} {check.__name__}: {traceback.format_exc()}")
        return False
    print(f"ok   {room} {check.__name__}: {check.__doc__}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a temper-serve that runs; else a mock stands in")
    parser.add_argument("--key", default="", help="its API key")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the pages")
    parser.add_argument("--browser", help="the Chromium program")
    parser.add_argument("-k", default="", metavar="WORD", help="only checks whose names have this in them")
    args = parser.parse_args()
    if args.url:
        args.url = args.url.rstrip("/")
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    rooms = {"server": checks_server.CHECKS} if args.url else {"chat": checks_chat.CHECKS, "live": checks_live.CHECKS}
    browser = Browser(args.browser)
    try:
        results = [run_check(check, room, browser, args) for room, checks in rooms.items() for check in checks
                   if args.k in f"{room} {check.__name__}"]
    finally:
        browser.close()
    print(f"{sum(results)} of {len(results)} checks passed")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
