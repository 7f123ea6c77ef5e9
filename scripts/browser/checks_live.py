"""What a user of the live page sees."""

from checks_chat import expect, no_sideways
from mock_server import TOKENS


def wait_step(page, step):
    """Until the row of a step is there: the state alone may be ahead of it."""
    page.wait(f"""((text) => text?.includes('{step:,} of ') && text.includes('{TOKENS * step:,}'))
      (document.querySelector('#facts')?.innerText)""", f"step {step}", patience=60)


def title_of(page, title):
    """JavaScript for the chart of a title."""
    return f"[...document.querySelectorAll('.chart')].find((node) => node.querySelector('b').innerText === '{title}')"


def growing(world):
    """The numbers and the curves grow as the run does."""
    page = world.live()
    page.wait("document.querySelector('#charts').innerText.includes('No step has been finished yet')", "an empty run says so")
    world.picture(page, "live-empty")
    for _ in range(12):
        world.mock.run.take_step()
    wait_step(page, 12)
    lengths = page.evaluate("[...document.querySelectorAll('.chart path.line')].map((node) => node.getAttribute('d').length)")
    expect(page.text("#name") == "smollm2-<b>arithmetic</b>" and page.text("#over") == "TEMPER · RL · GRPO", "name, task and algorithm")
    expect("tokens/s" in page.text("#facts") and "1.75 GB" in page.text("#facts") and "1m 10s" in page.text("#facts"),
           f"speed, memory and time left: {page.text('#facts')}")
    expect(page.text("#state") == "training" and page.evaluate("document.querySelector('#progress').position") == 0.3, "state and bar")
    titles = page.evaluate("[...document.querySelectorAll('.chart b')].map((node) => node.innerText)")
    for title in ("Reward", "Rewards by part", "Loss", "Gradient norm", "Learning rate", "KL to the reference", "own/number"):
        expect(title in titles, f"a curve {title}: {titles}")
    expect(titles[0] == "Reward" and page.count(".chart.wide circle") >= 2, "what it is about comes first, with the evaluations")
    for _ in range(8):
        world.mock.run.take_step()
    wait_step(page, 20)
    grown = page.evaluate("[...document.querySelectorAll('.chart path.line')].map((node) => node.getAttribute('d').length)")
    expect(sum(grown) > sum(lengths) and len(grown) == len(lengths), "the curves are longer")
    expect("step 20" in page.text(".sample").lower() and page.count(".sample") == 12, "the newest samples, not all")
    world.picture(page, "live-training")
    page.evaluate("document.querySelector('#samples-part').scrollIntoView()")
    world.picture(page, "live-training-samples")


def reading_values(world):
    """Pointer and arrow keys tell values; log scale and smoothing change the curves."""
    for _ in range(30):
        world.mock.run.take_step()
    page = world.live()
    wait_step(page, 30)
    chart = title_of(page, "Gradient norm")
    page.evaluate(f"{chart}.id = 'norm'")
    expect(page.text("#norm .unit") == "log scale", "values over decades have a log scale")
    page.hover("#norm svg")
    page.wait("document.querySelector('#norm .at').textContent.startsWith('step 1')", "the step under the pointer")
    world.picture(page, "live-hover")
    page.click("#norm button")
    expect(page.text("#norm .unit") == "", "and can have a plain one")
    page.evaluate("document.querySelector('#norm svg').focus()")
    page.press("ArrowRight")
    page.press("ArrowLeft")
    page.wait("document.querySelector('#norm .at').textContent === 'step 29'", "the keyboard reaches the values, too")
    before = page.evaluate("document.querySelector('#norm path.line').getAttribute('d')")
    page.evaluate("(() => { const node = document.querySelector('#calm'); node.value = 4; node.dispatchEvent(new Event('input')) })()")
    expect(page.evaluate("document.querySelector('#norm path.line').getAttribute('d')") != before, "the slider smooths")
    page.evaluate("(() => { const node = document.querySelector('#calm'); node.value = 0; node.dispatchEvent(new Event('input')) })()")
    expect(page.count("#norm path.raw") == 0, "and not at all at its end")


def stop_button(world):
    """Stop asks first, then posts, and the state follows."""
    world.mock.run.take_step()
    page = world.live()
    page.wait("!document.querySelector('#ask-stop').hidden", "a stop button")
    page.click("#ask-stop")
    world.picture(page, "live-stop")
    page.click("#stop-dialog button[value='']")
    expect(world.mock.run.state == "training", "going on stops nothing")
    page.click("#ask-stop")
    page.click("#stop-dialog button[value=stop]")
    page.wait("document.querySelector('#state').innerText === 'stopping'", "stopping")
    expect(world.mock.run.state == "stopping" and not page.seen("#ask-stop"), "the server was told, once")
    world.mock.run.set(state="stopped")
    page.wait("document.querySelector('#state').innerText === 'stopped'", "stopped")
    world.mock.run.set(state="done")
    page.wait("document.querySelector('#state').innerText === 'done'", "done")
    expect("Time left" not in page.text("#facts"), "nothing is left")
    world.picture(page, "live-done")


def reconnecting(world):
    """A stream that breaks off is taken up where it was: no row is lost, none is there twice."""
    run = world.mock.run
    for _ in range(5):
        run.take_step()
    page = world.live()
    wait_step(page, 5)
    run.set(drops=run.drops + 1)
    page.wait("!document.querySelector('#connection').hidden", "it says that the connection is lost")
    for _ in range(4):
        run.take_step()
    wait_step(page, 9)
    expect(not page.seen("#connection"), "and that it is back")
    expect(world.mock.resumed == [None, f"{run.epoch}.6.15"], f"it came back with the last id: {world.mock.resumed}")
    page.evaluate(f"{title_of(page, 'Learning rate')}.id = 'lr'")
    points = page.evaluate("document.querySelector('#lr path.line').getAttribute('d').split(/[ML]/).length - 1")
    expect(points == 9, f"nine points: {points}")


def resumed_run(world):
    """A run that was cut back begins anew on the page."""
    run = world.mock.run
    for _ in range(15):
        run.take_step()
    page = world.live()
    wait_step(page, 15)
    run.clear()
    run.take_step()
    wait_step(page, 1)
    expect(page.count(".sample") == 3, "the old samples are gone")
    expect("step 15" not in page.text(".charts").lower(), "the old curves are gone")


def repeated_steps(world):
    """A step that is written a second time, as runs that are resumed do, counts once and as it was written last."""
    run = world.mock.run
    for _ in range(12):
        run.take_step()
    page = world.live()
    wait_step(page, 12)
    run.step = 7
    run.take_step()
    page.wait(f"(({title_of(page, 'Learning rate')})?.querySelector('path.line').getAttribute('d').split(/[ML]/).length - 1) === 8", "eight points")
    wait_step(page, 8)


def long_run(world):
    """Many thousand steps stay quick."""
    run = world.mock.run
    run.steps = 20000
    for _ in range(20000):
        run.take_step()
    page = world.live()
    wait_step(page, 20000)
    longest = page.evaluate("Math.max(...[...document.querySelectorAll('.chart path')].map((node) => node.getAttribute('d').length))")
    expect(longest < 20000, f"curves are thinned: {longest} characters")
    took = page.evaluate("""new Promise((resolve) => {
      const begun = performance.now(), slider = document.querySelector('#calm');
      slider.value = 2;
      slider.dispatchEvent(new Event('input'));
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begun)));
    })""")
    print(f"    drawing all curves of 20,000 steps took {took:.0f} ms")
    world.picture(page, "live-long")


def without_run(world):
    """A server without a run says so."""
    world.mock.run = None
    page = world.open("/live")
    page.wait("document.querySelector('#connection').innerText.includes('given no run')", "in the server's words")
    expect(not page.seen("#run") and not page.seen("#waiting"), "and shows nothing else")
    world.picture(page, "live-no-run")


def with_key(world):
    """The key is asked for, and the report opens with it."""
    world.mock.key = "secret"
    world.mock.run.take_step()
    page = world.open("/live")
    page.wait("document.querySelector('dialog[open] #key')", "the key is asked for")
    page.fill("#key", "secret")
    page.press("Enter")
    wait_step(page, 1)
    page.evaluate("window.open = (url) => window.opened = {close() {}, set location(to) { this.to = to; }}")
    page.click("#to-report")
    page.wait("window.opened?.to?.startsWith('blob:')", "the report comes with the key")


def narrow(world):
    """On a phone nothing is wider than the screen, in both schemes of colour."""
    for _ in range(25):
        world.mock.run.take_step("a" * 500)
    for dark in (False, True):
        page = world.live(width=360, height=740, dark=dark, touch=True)
        wait_step(page, 25)
        no_sideways(page, "the live page")
        world.picture(page, f"phone-live{'-dark' if dark else ''}")
        page.evaluate("document.querySelector('#charts').scrollIntoView()")
        world.picture(page, f"phone-live-curves{'-dark' if dark else ''}")
    page = world.live(dark=True)
    wait_step(page, 25)
    world.picture(page, "live-dark")


CHECKS = [growing, reading_values, stop_button, reconnecting, resumed_run, repeated_steps, long_run, without_run, with_key, narrow]
