// Test of the page at `/` in Chromium: `node test.mjs URL DIRECTORY`, where a server of any model listens at URL.
// Pictures of the page go into DIRECTORY. Wants `npm install` here, and CHROMIUM with the path of a browser.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, directory] = process.argv.slice(2);
if (!url || !directory) {
  console.error("usage: node test.mjs URL DIRECTORY");
  process.exit(2);
}
mkdirSync(directory, { recursive: true });

const executablePath = process.env.CHROMIUM;
if (!existsSync(executablePath ?? "")) {
  console.error("CHROMIUM names no browser");
  process.exit(2);
}

/** Milliseconds that anything may take. */
const PATIENCE = 120_000;
/** A request long enough to be looked at while it runs. */
const WORDS = "Once upon a time there was a little boy named Ben. Tell me a long story of Ben and his boat.";

const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
let failed = 0;

/** A fresh page, whose complaints are failures. */
async function open(options = {}, before = () => {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.complaints.push(message.text());
  });
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(url) || request.url().startsWith("data:");
    if (!isOwn) page.complaints.push(`asks ${request.url()}`);
  });
  await before(page);
  await page.goto(url);
  return page;
}

/** Runs a check on a page of its own. */
async function check(name, run, options, before) {
  let page;
  try {
    page = await open(options, before);
    await run(page);
    assert.deepEqual(page.complaints, []);
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
  await page?.context().close();
}

const picture = (page, name) => page.screenshot({ path: join(directory, `${name}.png`) });

/** Waits until the page knows its model and no answer is on its way. */
async function ready(page) {
  await page.waitForFunction(() => /context/.test(document.getElementById("name").textContent));
  await page.waitForSelector("#send:visible");
}

async function say(page, text, settings = { max_tokens: 120 }) {
  await page.evaluate((settings) => {
    for (const [name, value] of Object.entries(settings)) document.forms.settings.elements[name].value = value;
  }, settings);
  await page.fill("#input", text);
  await page.press("#input", "Enter");
}

/** Lengths that the last answer had, frame by frame, until it is whole. */
const lengths = (page) => page.evaluate(() => new Promise((resolve) => {
  const found = [];
  const look = () => {
    const answer = [...document.querySelectorAll(".answer")].at(-1);
    const length = answer?.textContent.length ?? 0;
    if (length !== found.at(-1)) found.push(length);
    if (answer?.ariaBusy === "false") resolve(found);
    else requestAnimationFrame(look);
  };
  look();
}));

await check("the server names its policy", async (page) => {
  for (const method of ["GET", "HEAD"]) {
    const response = await page.request.fetch(url, { method });
    assert.equal(response.status(), 200);
    assert.match(response.headers()["content-security-policy"], /^default-src 'none'; connect-src 'self'/);
    assert.equal(response.headers()["x-content-type-options"], "nosniff");
  }
  // What would be markup if it got in does nothing.
  page.on("console", () => { page.complaints = []; });
  const ran = await page.evaluate(() => {
    document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = true" }));
    return window.ran;
  });
  assert.equal(ran, undefined);
});

await check("Markdown becomes elements, and nothing else does", async (page) => {
  const shown = (text) => page.evaluate((text) => {
    const element = document.createElement("div");
    window.embodios.markdown(element, text);
    return element.innerHTML.replace(/<\/?div>/g, "").replace(/ tabindex="0"/g, "");
  }, text);
  const cases = [
    ["a *b* **c** `d*e*`", "<p>a <em>b</em> <strong>c</strong> <code>d*e*</code></p>"],
    ["***a*** __b__ _c_ d_e_f \\*g\\*",
      "<p><strong><em>a</em></strong> <strong>b</strong> <em>c</em> d_e_f *g*</p>"],
    ["a\nb\n\nc", "<p>a<br>b</p><p>c</p>"],
    ["# a\ntext\n## b ##\n---", "<h3>a</h3><p>text</p><h4>b</h4><hr>"],
    ["- a\n- b\n  - c\n    more\n- d", "<ul><li>a</li><li>b<ul><li>c<br>more</li></ul></li><li>d</li></ul>"],
    ["3. a\n4. b\n\n5. c", '<ol start="3"><li>a</li><li>b</li></ol><ol start="5"><li>c</li></ol>'],
    ["1. a\n   - b\n- c", '<ol start="1"><li>a<ul><li>b</li></ul></li></ol><ul><li>c</li></ul>'],
    ["```rust\nfn <main>() {\n\n  *x*\n}\n```\nafter",
      "<pre><code>fn &lt;main&gt;() {\n\n  *x*\n}</code></pre><p>after</p>"],
    ["~~~\nnot over\n``", "<pre><code>not over\n``</code></pre>"],
    ["> a\n> - b\n\nc", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote><p>c</p>"],
    ["[a](https://b.c/d_(e)) (http://f.g/h_i_j).",
      '<p><a href="https://b.c/d_(e)" target="_blank" rel="noopener noreferrer">a</a> ' +
      '(<a href="http://f.g/h_i_j" target="_blank" rel="noopener noreferrer">http://f.g/h_i_j</a>).</p>'],
    ["[a](javascript:alert(1)) [b](data:text/html,x) [c](//d.e)",
      "<p>[a](javascript:alert(1)) [b](data:text/html,x) [c](//d.e)</p>"],
    ["<img src=x onerror=alert(1)>\n<script>alert(1)</script>",
      "<p>&lt;img src=x onerror=alert(1)&gt;<br>&lt;script&gt;alert(1)&lt;/script&gt;</p>"],
    ["2 * 3 * 4 and ** a", "<p>2 * 3 * 4 and ** a</p>"],
    ["", ""],
  ];
  for (const [text, html] of cases) assert.equal(await shown(text), html, text);
  const link = await shown('[a](https://b.c/"onmouseover="alert(1))');
  assert.doesNotMatch(link, /<a[^>]* onmouseover/);
  // As it grows, each beginning is shown as a text of its own is.
  const grown = await page.evaluate((text) => {
    const element = document.createElement("div");
    for (let end = 0; end <= text.length; end += 1) {
      window.embodios.markdown(element, text.slice(0, end));
      const fresh = document.createElement("div");
      window.embodios.markdown(fresh, text.slice(0, end));
      if (fresh.innerHTML !== element.innerHTML) return text.slice(0, end);
    }
    return null;
  }, cases.map(([text]) => text).join("\n\n"));
  assert.equal(grown, null);
  // Neither depth nor pairs without an end take long.
  const milliseconds = await page.evaluate(() => {
    const begun = performance.now();
    const texts = ["> ".repeat(5000) + "a", "*a ".repeat(20000), "**a".repeat(20000), "`a".repeat(20001),
      "[a](".repeat(20000), "_".repeat(20000), "*".repeat(20000), "http://".repeat(10000),
      Array.from({ length: 500 }, (_, depth) => `${" ".repeat(2 * depth)}- a`).join("\n")];
    texts.forEach((text) => window.embodios.markdown(document.createElement("div"), text));
    return performance.now() - begun;
  });
  assert.ok(milliseconds < 3000, `${milliseconds} ms`);
});

await check("a chat streams, repeats its bits and shows the machine", async (page) => {
  await ready(page);
  await page.waitForSelector("#cores > div");
  await page.evaluate(() => {
    const widths = window.widths = new Set();
    const lines = window.lines = new Set();
    setInterval(() => {
      widths.add([...document.querySelectorAll("#cores .working")].map((bar) => bar.style.width).join());
      lines.add(document.querySelector("#rates path").getAttribute("d"));
    }, 100);
  });
  await say(page, WORDS, { max_tokens: 120, seed: 7 });
  const found = await lengths(page);
  assert.ok(found.length > 3, `${found}`);
  assert.ok(found.every((length, index) => index === 0 || length >= found[index - 1]), `${found}`);
  await page.waitForSelector("#send:visible");
  const hash = await page.textContent("#hash");
  assert.match(hash, /^[0-9a-f]{16}$/);
  await page.click("text=Repeat");
  await lengths(page);
  await page.waitForSelector("text=the same bits as before");
  assert.equal(await page.textContent("#hash"), `${hash}as before`);
  assert.match(await page.textContent("article:last-of-type .meta"), /tokens\/s.*prompt.*seed 7/);
  await page.waitForFunction(() => window.widths.size > 1 && window.lines.size > 1);
  await picture(page, "light");
  await say(page, "And then?");
  await lengths(page);
  assert.equal(await page.locator("article").count(), 4);
  await page.click("#new");
  assert.equal(await page.locator("article").count(), 0);
}, { colorScheme: "light" });

await check("Esc and the button stop an answer, and the server drops it", async (page) => {
  await ready(page);
  for (const stop of ["key", "button"]) {
    await say(page, WORDS, { max_tokens: "" });
    await page.evaluate((stop) => new Promise((resolve) => {
      const look = () => {
        if (![...document.querySelectorAll(".answer")].at(-1)?.textContent) return requestAnimationFrame(look);
        if (stop === "key") document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
        else document.getElementById("stop").click();
        resolve();
      };
      look();
    }), stop);
    await page.waitForSelector("article:last-of-type :text-is('stopped')");
    await page.waitForSelector("#send:visible");
  }
  await page.waitForFunction(() => document.getElementById("batch").textContent === "0 running · 0 waiting");
  await say(page, "Go on.");
  await lengths(page);
  assert.equal(await page.locator(".bad[role=alert]").count(), 0);
});

await check("keys do what they say", async (page) => {
  await ready(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), "input");
  await page.keyboard.type("a");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("b");
  assert.equal(await page.inputValue("#input"), "a\nb");
  await page.click("#open-settings");
  assert.equal(await page.getAttribute("#open-settings", "aria-expanded"), "true");
  await page.fill("[name=temperature]", "3");
  await page.press("#input", "Enter");
  assert.equal(await page.locator("article").count(), 0);
  await page.fill("[name=temperature]", "0");
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#settings"), false);
  const names = await page.locator("button:visible, input:visible, textarea:visible").evaluateAll((found) =>
    found.filter((element) => !element.textContent && !element.labels?.length).length);
  assert.equal(names, 0);
});

await check("errors are shown in words, and a key is asked for", async (page) => {
  const refused = { status: 400, json: { error: { message: "top_k: wants less", type: "invalid_request_error" } } };
  await page.route("**/completions", (route) => route.fulfill(refused));
  await say(page, "a");
  await page.waitForSelector("text=top_k: wants less");
  await page.route("**/completions", (route) => route.abort());
  await page.click("text=Try again");
  await page.waitForSelector("text=The server does not answer.");
  const broken = 'data: {"choices":[{"delta":{"content":"half"}}]}\n\ndata: {"error":{"message":"no memory"}}\n\n';
  await page.route("**/completions", (route) => route.fulfill({ contentType: "text/event-stream", body: broken }));
  await page.click("text=Try again");
  await page.waitForSelector("text=no memory");
  assert.match(await page.textContent(".answer"), /half/);
  const denied = { status: 401, json: { error: { message: "a key is missing", type: "authentication_error" } } };
  await page.route("**/completions", (route) => route.fulfill(denied));
  assert.equal(await page.isVisible("#key-form"), false);
  await page.click("text=Try again");
  await page.waitForSelector("#key-form:visible");
  await picture(page, "key");
  const asked = page.waitForRequest("**/events");
  await page.fill("#key", "secret");
  await page.press("#key", "Enter");
  assert.equal((await asked).headers().authorization, "Bearer secret");
  assert.equal(await page.evaluate(() => sessionStorage.getItem("key")), "secret");
  page.complaints = page.complaints.filter((text) => !/^Failed to load resource/.test(text));
});

await check("figures come only while the page is in sight", async (page) => {
  await page.waitForSelector("#cores > div");
  const ended = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/events"));
  const set = (state) => page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
  await set("hidden");
  await ended;
  const asked = page.waitForRequest("**/events");
  await set("visible");
  await asked;
  const closed = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/events"));
  await page.click("#open-machine");
  await closed;
});

await check("a model without a template goes on with the text", async (page) => {
  const bodies = [];
  const chats = [];
  const refused = { error: { message: "no template", type: "invalid_request_error", code: "no_chat_template" } };
  await page.route("**/v1/chat/completions", (route) => {
    chats.push(route.request().postDataJSON().messages);
    route.fulfill({ status: 400, json: refused });
  });
  const piece = (text) => `data: ${JSON.stringify({ choices: [{ text, finish_reason: "stop" }] })}\n\n`;
  await page.route("**/v1/completions", (route) => {
    bodies.push(route.request().postDataJSON());
    route.fulfill({ contentType: "text/event-stream", body: `${piece(", a boy")}data: [DONE]\n\n` });
  });
  await ready(page);
  for (const text of ["There was", " who"]) {
    await say(page, text);
    await lengths(page);
    await page.waitForSelector("#send:visible");
  }
  assert.deepEqual(chats, [[{ role: "user", content: "There was" }]]);
  assert.deepEqual(bodies.map(({ prompt }) => prompt), ["There was", "There was, a boy who"]);
  page.complaints = page.complaints.filter((text) => !/^Failed to load resource/.test(text));
}, {}, (page) => page.route("**/props", async (route) => {
  const response = await route.fetch();
  route.fulfill({ response, json: { ...await response.json(), chat: true } });
}));

/** Events of a machine with so many cores, whose work differs from core to core. */
function machine(cores, count) {
  const events = Array.from({ length: count }, (_, index) => ({
    seconds: 10 + index / 2, model: "large-70b", draining: false, connections: 41, running: 32, waiting: 5,
    jobs: Array.from({ length: 32 }, (_, id) => ({ id: 1000 + id, prompt: 100 + 7 * id, made: 9 * index + id })),
    prompt_tokens: 1000, generation_tokens: 288 * index, prefix_queries: 54321, prefix_hits: 23456, requests: 963,
    steps: 9 * index, step_count: 9 * index, step_seconds: 0.45 * index + 0.02 * Math.sin(index),
    step: { count: 256, mean: 0.0514, p50: 0.0503, p99: 0.0617, max: 0.0822 },
    kv_blocks: 16384, kv_blocks_used: 11201, kv_blocks_retained: 2048, preemptions: 3, restarts: 1,
    memory: 2 ** 37, memory_free: 2 ** 35,
    cores: Array.from({ length: cores }, (_, core) => ({
      core, working: index * (0.3 + 0.19 * Math.abs(Math.sin(core))), waiting: index * 0.004, asleep: index * 0.02,
    })),
  }));
  return events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
}

for (const [cores, name] of [[16, "many"], [96, "crowd"]]) {
  await check(`a machine of ${cores} cores`, async (page) => {
    await page.waitForFunction((name) => document.getElementById("cores").className === name, name);
    assert.equal(await page.locator("#cores > div").count(), cores);
    assert.equal(await page.textContent("#rate"), "576");
    assert.equal(await page.textContent("#blocks"), "11,201 + 2,048 of 16,384");
    assert.match(await page.textContent("#jobs"), /#1000100.*18\.0.*and 29 more/);
    const widths = await page.locator("#cores .working").evaluateAll((bars) => bars.map((bar) => bar.style.width));
    assert.equal(widths[0], "60%");
    await picture(page, `cores-${cores}`);
    const wide = await page.$eval("#machine", (panel) => panel.scrollWidth - panel.clientWidth);
    assert.equal(wide, 0);
  }, {}, (page) => page.route("**/events", (route) => route.fulfill({
    contentType: "text/event-stream", body: machine(cores, 121),
  })));
}

await check("a server that loads its model is asked again", async (page) => {
  await page.waitForFunction(() => document.getElementById("state").textContent === "loads its model");
  await ready(page);
  assert.equal(await page.textContent("#state"), "");
  page.complaints = page.complaints.filter((text) => !/^Failed to load resource/.test(text));
}, {}, async (page) => {
  const loading = { status: 503, json: { error: { message: "Loading model", type: "unavailable_error" } } };
  await page.route("**/props", (route) => route.fulfill(loading), { times: 1 });
  await page.route("**/events", () => {});
});

/** What a picture is to show, whatever the model would say. */
const SAMPLE = `A **futex** is a word in memory that threads wait on:

1. Look at the word; if it changed, go on.
2. Else call \`wait(&word, value)\`, which sleeps *only while* it still holds the value.
   - No wake-up is lost, since the kernel looks again under its lock.

\`\`\`rust
while self.epoch.load(Acquire) == seen {
    platform.wait(&self.epoch, seen, None);
}
\`\`\`

> Spurious wake-ups are allowed.

More at https://example.org/futex.`;

for (const colorScheme of ["light", "dark"]) {
  for (const [name, viewport] of [["wide", { width: 1280, height: 800 }], ["phone", { width: 390, height: 844 }]]) {
    await check(`pictures: ${colorScheme}, ${name}`, async (page) => {
      await ready(page);
      await picture(page, `${name}-${colorScheme}-empty`);
      const isPhone = name === "phone";
      await page.route("**/completions", (route) => route.fulfill({
        contentType: "text/event-stream",
        body: `data: ${JSON.stringify({ choices: [{ delta: { content: SAMPLE }, text: SAMPLE }] })}\n\n` +
          'data: {"choices":[{"finish_reason":"stop","logits_hash":"917a87bc41c5d2f1"}]}\n\ndata: [DONE]\n\n',
      }), { times: 1 });
      await say(page, "What is a futex? Show me how one waits.");
      await lengths(page);
      await picture(page, `${name}-${colorScheme}-markdown`);
      await page.click("#new");
      if (isPhone) await page.click("#open-machine");
      else await page.click("#open-settings");
      await page.waitForSelector("#cores > div");
      await say(page, WORDS);
      await page.waitForTimeout(4000);
      await picture(page, `${name}-${colorScheme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels wider than the window`);
      if (colorScheme === "dark" && !isPhone) {
        await page.click("#theme");
        assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "light");
      }
    }, { colorScheme, viewport, hasTouch: name === "phone" });
  }
}

await browser.close();
console.log(failed ? `${failed} failed` : `all passed; pictures in ${directory}`);
process.exit(failed ? 1 : 0);
