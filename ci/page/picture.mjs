// Picture of the page while eight streams run, one of them its own: `node picture.mjs URL FILE.png`, where a machine
// serves a model that chats. The README shows one. Wants what `test.mjs` wants.

import { chromium } from "playwright-core";

const [url, file] = process.argv.slice(2);
if (!url || !file || !process.env.CHROMIUM) {
  console.error("usage: CHROMIUM=PATH node picture.mjs URL FILE.png");
  process.exit(2);
}

const QUESTION = "What does a kernel do? Tell me in a few sentences.";
const OTHERS = ["Why is the sky blue?", "What is a prime number?", "How do bees make honey?", "What is a compiler?",
  "How does a bicycle stay upright?", "What is the moon made of?", "Who invented paper?"];
/** Milliseconds for which streams run before the picture. */
const RUNNING = 12_000;

const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 });
await page.goto(url);
await page.waitForFunction(() => /context/.test(document.getElementById("name").textContent));
const streams = OTHERS.map((content, index) => fetch(new URL("v1/chat/completions", url), {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    messages: [{ role: "user", content }], max_tokens: 2000, ignore_eos: true, stream: true, seed: index,
  }),
}));
await page.waitForTimeout(RUNNING);
await page.fill("#input", QUESTION);
await page.press("#input", "Enter");
await page.waitForFunction(() => document.querySelector(".answer")?.textContent.length > 250, undefined,
  { timeout: 60_000 });
await page.screenshot({ path: file });
await browser.close();
await Promise.all(streams.map(async (stream) => (await stream).body.cancel()));
