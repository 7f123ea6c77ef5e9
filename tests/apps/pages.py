#!/usr/bin/env python3
"""The server's pages, read without a browser: they ask for nothing but their own files, what a model wrote cannot become markup,
names lead somewhere, and look and curves are those of report.html. What they do is checked by scripts/browser/test.py.

  TEMPER_SOURCE=. tests/apps/pages.py
"""
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

SOURCE = Path(os.environ["TEMPER_SOURCE"]).resolve()
PAGES = SOURCE / "lib/serve/pages"
FILE_LINES = 480
OLDEST_NODE = 18
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# What makes markup or a program of a text.
FORBIDDEN = re.compile(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|importScripts|"
                       r"setHTML\w*)\b|\b(?:eval|Function|import)\(|javascript:|\bset(?:Timeout|Interval)\(\s*[\"'`]")
NAMESPACE = "http://www.w3.org/2000/svg"  # which names a kind of node and is never asked for


class Page(HTMLParser):
    """What an HTML file refers to, and what is wrong with it."""

    def __init__(self, name):
        super().__init__()
        self.name, self.open, self.wrong, self.ids, self.files, self.named = name, [], [], set(), [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key.startswith("on") or key == "style":
                self.say(f"<{tag} {key}>: the policy allows no such attribute")
            if key in ("src", "href") and not value.startswith("data:"):
                self.files.append(value)
            if key in ("for", "aria-labelledby", "aria-controls", "aria-describedby"):
                self.named += value.split()
        if "id" in values:
            if values["id"] in self.ids:
                self.say(f"two nodes are called {values['id']}")
            self.ids.add(values["id"])

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.say(f"</{tag}> closes what is not open")

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style") and data.strip():
            self.say(f"the policy allows no <{self.open[-1]}> with text")

    def say(self, what):
        self.wrong.append(f"{self.name}:{self.getpos()[0]}: {what}")


def files(*kinds):
    return sorted(path for path in PAGES.iterdir() if path.suffix in kinds)


def html():
    for path in files(".html"):
        page = Page(path.name)
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        yield from page.wrong
        if page.open:
            yield f"{path.name}: {page.open} stay open"
        for name in page.named:
            if name not in page.ids:
                yield f"{path.name}: nothing has the id {name}"
        for name in page.files:
            routes = {"./", "live", "run/report"}
            if name not in routes and not (name.startswith("pages/") and (PAGES / name.removeprefix("pages/")).is_file()):
                yield f"{path.name}: {name}: expected a file of the pages, as pages/NAME, or one of {sorted(routes)}"


def recent_node():
    """Node that knows the language of today's browsers, or None."""
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return node if (found := re.match(r"v(\d+)", version)) and int(found[1]) >= OLDEST_NODE else None


NODE = recent_node()


def syntax(name, text):
    if NODE:
        checked = subprocess.run([NODE, "--check", "--input-type=module"], input=text, capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            yield f"{name}: {checked.stderr.strip()}"


def scripts():
    ids = {path.stem: set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8"))) for path in files(".html")}
    used = set()
    for path in files(".js"):
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN.search(line):
                yield f"{path.name}:{number}: makes markup or a program of a text: {line.strip()}"
        for name in re.findall(r'^import .* from "([^"]+)";$', text, re.M):
            used.add(name.removeprefix("./"))
            if not (name.startswith("./") and (PAGES / name[2:]).is_file()):
                yield f"{path.name}: imports {name}, which is not there"
        known = ids.get(path.stem, set().union(*ids.values()))  # chat.js knows chat.html; a part knows the page that it is part of
        for name in re.findall(r'\bbyId\("([^"]+)"\)', text):
            if name not in known:
                yield f"{path.name}: nothing has the id {name}"
        yield from syntax(path.name, text)
    for path in files(".js"):
        if path.name not in used and path.stem not in ids:
            yield f"{path.name}: nobody imports it"


def everywhere():
    for path in files(".html", ".css", ".js"):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text.replace(NAMESPACE, "")):
            yield f"{path.name}: {address}: the pages work without a network"
        if path.suffix == ".css" and re.search(r"@import|url\(", text):
            yield f"{path.name}: asks for another file"
        if len(text.splitlines()) > FILE_LINES:
            yield f"{path.name}: more than {FILE_LINES} lines"


def as_the_report():
    """Colours and curves stand twice, here and in lib/report: they are the same."""
    variables = re.compile(r"--[\w-]+: #\w+")
    report = variables.findall((SOURCE / "lib/report/style.cc").read_text(encoding="utf-8"))
    look = variables.findall((PAGES / "look.css").read_text(encoding="utf-8"))
    for colour in sorted(set(report)):
        if report.count(colour) != look.count(colour):
            yield f"look.css: {colour} of lib/report/style.cc is not there"
    known = (SOURCE / "lib/report/curves.cc").read_text(encoding="utf-8")
    known = known[known.index("known_curves() {"):known.index("spans_decades")]
    theirs = re.findall(r'\{"([^"]+)",\s*\{((?:"\w+"(?:, )?)+)\}', known)
    ours = re.findall(r'\{title: "([^"]+)", keys: \[([^\]]+)\]', (PAGES / "curves.js").read_text(encoding="utf-8"))
    if not theirs or ours != theirs:
        yield f"curves.js: expected the curves of lib/report/curves.cc: {sorted(set(theirs) ^ set(ours))} differ, or their order"


def main():
    wrong = [line for part in (html, scripts, everywhere, as_the_report) for line in part()]
    for line in wrong:
        print(f"lib/serve/pages/{line}")
    if not files(".html"):
        sys.exit(f"{PAGES}: no pages")
    print(f"{len(files('.html', '.css', '.js'))} files, {len(wrong)} problems" + ("" if NODE else "; no Node: syntax is not checked"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
