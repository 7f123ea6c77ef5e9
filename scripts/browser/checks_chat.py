"""What a user of the chat sees. Each check has a mock server and a browser of its own choosing (World, in test.py)."""

import json

from devtools import Failure

LAST = ".column:not([hidden]) .message:last-child"


def expect(true, what):
    if not true:
        raise Failure(what)


def ready(page):
    page.wait("document.querySelector('.column option')?.value", "the models are listed")


def ask(page, text):
    page.fill("#question", text)
    page.press("Enter")


def answered(page, count=1):
    """Waits until so many answers are whole, or failed."""
    page.wait(f"""document.querySelector('#stop').hidden && document.querySelectorAll('.answer').length === {count} &&
      !!document.querySelector('{LAST} .figures:not(:empty), {LAST} .notice:not([hidden])')""", f"{count} answers")


def no_sideways(page, where):
    wide = page.evaluate("""[...document.querySelectorAll("body, body *")].filter((node) => node.checkVisibility() &&
      node.getBoundingClientRect().right > innerWidth + 1 && !node.closest("svg, .unseen, pre, .tip"))
      .map((node) => node.tagName + "." + node.className).slice(0, 3).join(", ")""")
    expect(wide == "" and page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
           f"{where}: wider than the screen: {wide}")


def streaming(world):
    """An answer comes piece by piece, and its end is told."""
    page = world.chat()
    world.picture(page, "chat-empty")
    world.mock.delay = 0.05
    ask(page, "hello there, say it back to me in pieces please")
    lengths = {page.wait(f"document.querySelector('{LAST} .text')?.innerText.length ?? 0", "a first piece")}
    page.wait(f"document.querySelector('{LAST} .text').innerText.length > {max(lengths)}", "a second piece")
    expect(page.seen("#stop") and not page.seen("#send"), "while an answer comes, it can be stopped")
    answered(page)
    expect(page.text(f"{LAST} .text") == "You said to base: hello there, say it back to me in pieces please", "the whole text")
    expect("tokens/s" in page.text(f"{LAST} .figures"), "the speed is told")
    expect(page.seen("#send") and not page.seen("#stop"), "the next question can be asked")
    expect(page.evaluate("document.activeElement.id") == "question", "one can go on typing")
    body = world.mock.asked[-1]
    expect(set(body) == {"model", "messages", "stream", "stream_options"}, f"nothing is sent that was not chosen: {body}")
    world.picture(page, "chat-answer")


def keyboard(world):
    """Shift+Enter begins a line and sends nothing."""
    page = world.chat()
    page.click("#question")
    page.type("one")
    page.press("Enter", shift=True)
    page.type("two")
    expect(world.mock.asked == [], "nothing is sent")
    page.press("Enter")
    answered(page)
    expect(world.mock.asked[-1]["messages"] == [{"role": "user", "content": "one\ntwo"}], "both lines are sent")
    ask(page, "   ")
    expect(len(world.mock.asked) == 1, "nothing is asked by blanks")


def settings(world):
    """What is filled in is sent, what is wrong is said, and a reload keeps it."""
    page = world.chat()
    for name, value in {"system": "Be brief.", "temperature": "0.3", "top_p": "0.9", "max_tokens": "50", "seed": "7"}.items():
        page.fill(f"#{name}", value)
    ask(page, "hello")
    answered(page)
    body = world.mock.asked[-1]
    expect({k: body.get(k) for k in ("temperature", "top_p", "max_tokens", "seed")}
           == {"temperature": 0.3, "top_p": 0.9, "max_tokens": 50, "seed": 7}, f"the numbers are sent: {body}")
    expect(body["messages"][0] == {"role": "system", "content": "Be brief."}, "the system prompt comes first")
    page.reload()
    ready(page)
    expect(page.evaluate("document.querySelector('#seed').value") == "7", "a reload keeps the settings")
    expect(page.count(".message") == 2, "a reload keeps the conversation")
    world.picture(page, "chat-settings")
    page.evaluate("sessionStorage['temper.chat'] = '{'; localStorage['temper.settings'] = '[1]'")
    page.reload()
    ready(page)
    expect(page.count(".message") == 0, "what another program left there is passed over")
    ask(page, "count")
    page.wait(f"document.querySelector('{LAST} .text')?.innerText.length > 5", "a piece")
    page.reload()
    ready(page)
    expect("was left before" in page.text(f"{LAST} .notice"), "an answer that a reload broke off says so")
    world.mock.asked.clear()
    page.fill("#top_p", "1.5")
    ask(page, "again")
    expect(len(world.mock.asked) == 0 and page.count("#top_p:invalid") == 1, "a value out of range is not sent")
    page.fill("#top_p", "1")
    page.click("#settings summary")
    page.fill("#tools", "{not json")
    page.click("#send")
    page.click("#settings summary")
    page.click("#send")
    expect(page.seen("#tools"), "what is wrong is brought into sight")
    page.click(f"{LAST} .actions button:nth-child(2)")
    expect(len(world.mock.asked) == 0 and page.count("#tools:invalid") == 1, "tools that are no JSON are not sent, by no button")
    page.fill("#tools", '[{"type": "function", "function": {"name": "f"}}]')
    page.click("#send")
    answered(page, 2)
    expect(world.mock.asked[-1]["tools"][0]["function"]["name"] == "f", "tools are sent as they were typed")


def side_by_side(world):
    """Two models answer one question at once, each with its own history."""
    page = world.chat()
    page.click("#double")
    world.mock.delay = 0.05
    ask(page, "which of you is which? tell me at some length")
    page.wait("document.querySelectorAll('.answer .text:not(:empty)').length === 2", "both answer at once")
    expect(page.seen("#stop"), "both are still answering")
    page.wait("document.querySelector('#stop').hidden", "both end")
    texts = page.evaluate("[...document.querySelectorAll('.answer .text')].map((node) => node.innerText)")
    expect([text.split(":")[0] for text in texts] == ["You said to base", "You said to tuned"], f"one answer of each: {texts}")
    world.picture(page, "chat-double")
    page.click(".column:nth-child(2) .answer .actions button:nth-child(2)")  # regenerate
    page.wait("document.querySelector('#stop').hidden")
    expect([body["model"] for body in world.mock.asked] == ["base", "tuned", "tuned"] or
           [body["model"] for body in world.mock.asked] == ["tuned", "base", "tuned"], "only the second is asked anew")
    page.click(".column:nth-child(1) .question .actions button:nth-child(2)")  # edit
    page.fill(".column:nth-child(1) .editor textarea", "another")
    page.press("Enter")
    page.wait("document.querySelector('#stop').hidden && document.querySelectorAll('.answer').length === 2")
    page.wait("[...document.querySelectorAll('.question .text')].every((node) => node.innerText === 'another')",
              "a question of both is edited in both")
    expect(world.mock.asked[-1]["messages"] == [{"role": "user", "content": "another"}], "the first question is forgotten")


def stopping(world):
    """Stop ends the answer, the server is told, and what came stays."""
    page = world.chat()
    ask(page, "count")
    page.wait(f"document.querySelector('{LAST} .text')?.innerText.length > 20", "some pieces")
    page.click("#stop")
    answered(page)
    expect("stopped by you" in page.text(f"{LAST} .figures"), "it says so")
    text = page.text(f"{LAST} .text")
    expect(text.startswith("1 2 3") and len(text) < 1000, "what came stays")
    page.wait("true")
    for _ in range(100):
        if world.mock.cancelled:
            break
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")
    expect(world.mock.cancelled == 1, "the server sees that the reader went away")
    ask(page, "and now?")
    answered(page, 2)
    expect(world.mock.asked[-1]["messages"][1] == {"role": "assistant", "content": text}, "the part is history")


def hostile(world):
    """Markup in an answer, a question, a name and a sample stays text."""
    page = world.chat()
    ask(page, "hostile")
    answered(page)
    text = page.text(f"{LAST} .text")
    expect("<img src=x onerror=" in text and "<script>" in text and "[link](javascript:" in text and "&lt;b&gt;" in text and "\ufffd backwards" in text,
           f"it is shown as it was written: {text}")
    page.evaluate("document.querySelector('#logprobs').click()")
    ask(page, "hostile")
    answered(page, 2)
    page.hover(f"{LAST} .token")
    ask(page, "<img src=x onerror=\"document.title='owned'\">")
    answered(page, 3)
    world.mock.run.take_step("<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">")
    page.reload()
    ready(page)
    page.wait("document.querySelectorAll('.sample').length === 3", "samples")
    expect(page.count("#page img, #page script, #page a[href^=javascript], .message i, .message b:not(.who), .sample i") == 0, "no markup came of it")
    expect(page.evaluate("document.title") == "Chat – Temper", "nothing of it ran")
    world.picture(page, "chat-hostile")


def code(world):
    """Blocks of code stand apart, also where their marks come in pieces."""
    page = world.chat()
    ask(page, "code")
    answered(page)
    expect(page.text(f"{LAST} .code pre") == "def add(a, b):\n```x\n    return a + b\n", "the block is the code alone")
    expect(page.text(f"{LAST} .code .bar span") == "python", "its language is told")
    expect(page.text(f"{LAST} .text").count("```") == 1, "the marks are gone")
    expect("`add(1, 2)`" in page.text(f"{LAST} .prose:last-child"), "what follows is prose")
    world.picture(page, "chat-code")


def tools(world):
    """Calls are shown with their arguments, and the user can hand back results."""
    page = world.chat()
    ask(page, "tools")
    answered(page)
    expect(page.count(f"{LAST} .call") == 2, "two calls")
    expect('"city": "Pa<b>ris"' in page.text(f"{LAST} .call pre"), "joined from pieces, as text")
    expect("calls tools" in page.text(f"{LAST} .figures"), "the end says so")
    world.picture(page, "chat-tools")
    page.fill(f"{LAST} .results textarea:nth-of-type(1)", "sunny")
    page.fill(f"{LAST} .results textarea:nth-of-type(2)", "noon")
    page.click(f"{LAST} .results button")
    answered(page, 2)
    messages = world.mock.asked[-1]["messages"]
    expect([m["role"] for m in messages] == ["user", "assistant", "tool", "tool"], "the results follow the calls")
    expect(messages[1]["content"] is None and messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Pa<b>ris"}',
           "the calls are history")
    expect(messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}, "each by its id")


def logprobs(world):
    """Tokens are shaded by their probability and tell the alternatives."""
    page = world.chat()
    page.click("#logprobs")
    ask(page, "how sure are you of this?")
    answered(page)
    body = world.mock.asked[-1]
    expect(body["logprobs"] is True and body["top_logprobs"] == 5, "they are asked for")
    expect(page.text(f"{LAST} .tokens").replace("⏎", "") == "You said to base: how sure are you of this?", "the tokens are the text")
    page.hover(f"{LAST} .token:nth-child(4)")
    page.wait("document.querySelector('.tip:not([hidden])')", "a tip")
    expect("0.674%" in page.text(f"{LAST} .tip") and '"<b>other</b>"' in page.text(f"{LAST} .tip"), "probability and others")
    world.picture(page, "chat-logprobs")
    page.evaluate("document.querySelector('.tokens').focus()")
    page.press("ArrowRight")
    expect(page.text(f"{LAST} .tip").strip() != "" and page.seen(f"{LAST} .tip"), "the keyboard reaches them, too")
    page.click("#logprobs")
    expect(page.seen(f"{LAST} .text") and not page.seen(f"{LAST} .tokens"), "and they go again")
    page.click("#logprobs")
    ask(page, "smile")
    answered(page, 2)
    expect(page.text(f"{LAST} .tokens") == "\U0001f600" and page.count(f"{LAST} .token") == 2, "a character of two tokens is one")
    dark = world.chat(dark=True)
    dark.click("#logprobs")
    ask(dark, "how sure are you of this?")
    answered(dark)
    world.picture(dark, "chat-logprobs-dark")


def errors(world):
    """What the server refuses is told in its words, and can be tried again."""
    page = world.chat()
    for question, told in {"busy": "The queue is full: 256 samples wait. Try again in 7 s.", "too long": "the model has positions for 2048",
                           "diverged": "the model diverged", "broken": "The connection ended before the answer did."}.items():
        page.click("#clear")
        ask(page, question)
        answered(page)
        expect(told in (page.text(f"{LAST} .notice") or ""), f"{question}: {page.text(f'{LAST} .notice')}")
        if question == "busy":
            world.picture(page, "chat-error")
    expect(page.text(f"{LAST} .text") != "", "what came before the error stays")
    page.click("#clear")
    ask(page, "busy")
    answered(page)
    ask(page, "hello")
    answered(page, 2)
    expect(world.mock.asked[-1]["messages"] == [{"role": "user", "content": "hello"}], "what failed is no history")
    page.click("#clear")
    for question, told in {"empty": "(an empty answer)", "cut": "cut off at the token limit"}.items():
        ask(page, question)
        page.wait("document.querySelector('#stop').hidden")
        page.wait(f"document.querySelector('{LAST}').innerText.includes({json.dumps(told)})", told)


def lost_server(world):
    """A server that is gone is told of."""
    page = world.chat()
    world.mock.shutdown()
    world.mock.server_close()
    ask(page, "hello")
    answered(page)
    expect("cannot be reached" in page.text(f"{LAST} .notice"), "it says so")


def api_key(world):
    """The key is asked for once, kept for the tab, and asked for again where it is wrong."""
    world.mock.key = "secret"
    page = world.open("/")
    page.wait("document.querySelector('dialog[open] #key')", "the key is asked for")
    world.picture(page, "chat-key")
    page.fill("#key", "wrong")
    page.press("Enter")
    page.wait("document.querySelector('dialog[open]')?.innerText.includes('the API key is wrong')", "a wrong key is told")
    page.fill("#key", "secret")
    page.press("Enter")
    ready(page)
    page.click("#double")
    ask(page, "hello")
    answered(page, 2)
    page.reload()
    ready(page)
    expect(page.count("dialog") == 0, "a reload does not ask")
    expect(page.evaluate("Object.keys(localStorage).every((name) => !localStorage[name].includes('secret'))"), "it is not kept beyond the tab")
    other = world.open("/")
    other.wait("document.querySelector('dialog[open] #key')")
    other.click("dialog button[type=button]")
    other.wait("!document.querySelector('#trouble').hidden", "without the key, it says what is wrong")
    expect("an API key is wanted" in other.text("#trouble"), "in the server's words")


def huge(world):
    """A long answer and long words neither freeze nor widen the page; whoever reads above is left there."""
    page = world.chat()
    ask(page, "huge")
    answered(page)
    expect(page.evaluate(f"document.querySelector('{LAST} .text').textContent.includes('Line 5999 of')"), "it is whole")
    expect(page.evaluate("(() => { const log = document.querySelector('.log'); return log.scrollHeight - log.scrollTop - log.clientHeight < 5 })()"),
           "the end is in sight")
    ask(page, "wide")
    answered(page, 2)
    no_sideways(page, "a long word")
    world.mock.delay = 0.05
    ask(page, "count")
    page.wait(f"document.querySelector('{LAST} .text')?.innerText.length > 5")
    page.evaluate("document.querySelector('.log').scrollTop = 0")
    length = page.evaluate(f"document.querySelector('{LAST} .text').innerText.length")
    page.wait(f"document.querySelector('{LAST} .text').innerText.length > {length}")
    expect(page.evaluate("document.querySelector('.log').scrollTop") == 0, "whoever reads above is left there")
    page.click("#stop")


def samples(world):
    """The latest samples of a run stand beside the chat; without a run nothing of one does."""
    for _ in range(3):
        world.mock.run.take_step()
    page = world.chat()
    page.wait("document.querySelectorAll('.sample').length === 9", "the samples")
    expect("What is 3 + 2?" in page.text(".sample"), "the newest first")
    expect(page.text(".sample:nth-child(3) .badge") == "reward 1", "with their rewards")
    expect(page.seen("#to-live"), "and a way to the live page")
    world.picture(page, "chat-samples")
    world.mock.run = None
    other = world.chat()
    other.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
    expect(not other.seen("#run") and not other.seen("#to-live"), "without a run, nothing of one")


def narrow(world):
    """On a phone nothing is wider than the screen, in both schemes of colour."""
    world.mock.run.take_step()
    for dark in (False, True):
        page = world.chat(width=360, height=740, dark=dark, touch=True)
        ask(page, "code")
        answered(page)
        no_sideways(page, "the chat")
        world.picture(page, f"phone-chat{'-dark' if dark else ''}")
        page.click("#toggle-panel")
        no_sideways(page, "the settings")
        expect(page.seen("#system") and not page.seen("#question"), "the settings take the place of the chat")
        world.picture(page, f"phone-settings{'-dark' if dark else ''}")
        page.click("#toggle-panel")
        page.click("#double")
        ask(page, "tools")
        page.wait("document.querySelectorAll('.call').length === 4", "both call")
        no_sideways(page, "side by side")
        world.picture(page, f"phone-double{'-dark' if dark else ''}")


# Texts that stand out from what is behind them by less than WCAG's 4.5, as "text: ratio".
PALE = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (colours) => {  // painted one over the other
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const out = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data).join("").trim();
    if (text === "" || !node.checkVisibility() || node.closest("noscript, .unseen, option, :disabled")) continue;
    const behind = [];
    for (let at = node; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(node), colour = node.closest("svg") ? style.fill : style.color;
    const [high, low] = [over(behind), over([...behind, colour])].map(light).sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) out.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return out.slice(0, 5).join("; ");
})()"""


def contrast(world):
    """Texts can be read in both schemes of colour."""
    for _ in range(12):
        world.mock.run.take_step()
    for dark in (False, True):
        page = world.chat(dark=dark)
        page.click("#logprobs")
        page.wait("document.querySelectorAll('.sample').length === 12")
        for count, question in enumerate(("hostile", "tools", "busy"), 1):
            ask(page, question)
            answered(page, count)
        live = world.live(dark=dark)
        live.wait("document.querySelectorAll('.chart').length > 10 && document.querySelectorAll('.sample').length === 12")
        for where in (page, live):
            expect((pale := where.evaluate(PALE)) == "", f"{'dark' if dark else 'light'}: {pale}")


def named(world):
    """Whatever can be used has a name for those who cannot see it."""
    world.mock.run.take_step()
    for page in (world.chat(), world.live()):
        page.wait("document.querySelectorAll('.sample').length === 3")
        nameless = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, a, [role=img], [tabindex='0']")]
          .filter((node) => !(node.getAttribute("aria-label") || node.labels?.length || node.innerText?.trim() || !node.checkVisibility()))
          .map((node) => node.outerHTML.slice(0, 80)).join("; ")""")
        expect(nameless == "", f"without a name: {nameless}")


CHECKS = [streaming, keyboard, settings, side_by_side, stopping, hostile, code, tools, logprobs, errors, lost_server, api_key, huge, samples,
          narrow, contrast, named]
