"""The pages before a temper-serve that runs, with whatever model and run it has."""

import urllib.error
import urllib.request

from checks_chat import LAST, answered, ask, expect, no_sideways


def status_of(world, path):
    request = urllib.request.Request(world.url + path, headers={"Authorization": f"Bearer {world.key}"} if world.key else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def files(world):
    """The pages come with a policy under which nothing foreign runs."""
    for path, kind in {"/": "text/html", "/live": "text/html", "/pages/chat.js": "text/javascript", "/pages/look.css": "text/css"}.items():
        with urllib.request.urlopen(world.url + path, timeout=30) as response:
            expect(response.headers["Content-Type"].startswith(kind), f"{path}: {response.headers['Content-Type']}")
            if kind == "text/html":
                policy = response.headers["Content-Security-Policy"] or ""
                expect("default-src 'none'" in policy and "script-src 'self'" in policy, f"{path}: {policy}")
    expect(status_of(world, "/pages/..%2f..%2fservice.h") == 404 and status_of(world, "/pages/none.js") == 404, "nothing else is served")


def streaming(world):
    """An answer comes piece by piece, and its end is told."""
    page = world.chat()
    page.fill("#max_tokens", "200")
    ask(page, "Tell me a long story.")
    first = page.wait(f"document.querySelector('{LAST} .text')?.innerText.length ?? 0", "a first piece", patience=120)
    page.wait(f"document.querySelector('{LAST} .text').innerText.length > {first} || document.querySelector('#stop').hidden", "a second piece")
    page.wait("document.querySelector('#stop').hidden", "the end", patience=300)
    expect(page.seen(f"{LAST} .figures") and "token" in page.text(f"{LAST} .figures"), "the tokens are told")
    expect("about" not in page.text(f"{LAST} .figures"), "by the server's count")
    world.picture(page, "server-chat")


def stopping(world):
    """Stop ends an answer, and the next one comes."""
    page = world.chat()
    ask(page, "Count from one to a thousand.")
    page.wait(f"document.querySelector('{LAST} .text')?.innerText.length > 0", "a first piece", patience=120)
    if page.seen("#stop"):  # a small model may have ended already
        page.click("#stop")
    answered(page)
    page.fill("#max_tokens", "5")
    ask(page, "Hello.")
    answered(page, 2)
    expect(not page.seen(f"{LAST} .notice"), f"without an error: {page.text(f'{LAST} .notice')}")


def side_by_side(world):
    """Two columns answer; the same model with the same seed says the same."""
    page = world.chat()
    page.fill("#max_tokens", "20")
    page.fill("#seed", "5")
    page.click("#double")
    page.evaluate("""(() => { for (const node of document.querySelectorAll('.column select')) {
      node.selectedIndex = 0; node.dispatchEvent(new Event('change')); } })()""")
    ask(page, "What is 2 + 3?")
    page.wait("document.querySelectorAll('.answer .figures:not(:empty)').length === 2", "both answer", patience=300)
    texts = page.evaluate("[...document.querySelectorAll('.answer .text')].map((node) => node.innerText)")
    expect(texts[0] == texts[1] != "", f"the same: {texts}")
    world.picture(page, "server-double")


def logprobs(world):
    """Tokens are shown with what else was likely in their places."""
    page = world.chat()
    page.fill("#max_tokens", "12")
    page.click("#logprobs")
    for count in range(1, 11):  # a model of little training may end at once
        ask(page, "What is 2 + 3?")
        answered(page, count)
        if page.count(f"{LAST} .token") > 0:
            break
    page.hover(f"{LAST} .token")
    page.wait("document.querySelectorAll('.tip:not([hidden]) .row').length > 2", "alternatives")
    world.picture(page, "server-logprobs")


def refusal(world):
    """What the server refuses is told in its words."""
    page = world.chat()
    page.fill("#max_tokens", "100000000")
    ask(page, "Hello.")
    answered(page)
    expect("max_tokens" in page.text(f"{LAST} .notice"), f"more tokens than the model has positions for: {page.text(f'{LAST} .notice')}")


def narrow(world):
    """On a phone nothing is wider than the screen."""
    page = world.chat(width=360, height=740, touch=True)
    no_sideways(page, "the chat")
    world.picture(page, "server-phone")


def live(world):
    """The live page shows the run, or says that there is none."""
    if status_of(world, "/run/state") == 404:
        page = world.open("/live")
        world._give_key(page)
        page.wait("!document.querySelector('#connection').hidden", "it says so")
    else:
        page = world.live()
        page.wait("document.querySelector('#name').innerText !== ''", "its name")
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 1500))")
    no_sideways(page, "the live page")
    world.picture(page, "server-live")


CHECKS = [files, streaming, stopping, side_by_side, logprobs, refusal, narrow, live]
