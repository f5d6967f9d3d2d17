import { type HTMLElement, parse } from "node-html-parser";

/** Somebody who signs in to the sandbox by a handle: cookies and forms, as far as its pages need them. */
export class Person {
  readonly #handle: string;
  readonly #cookies = new Map<string, string>();

  constructor(handle: string) {
    this.#handle = handle;
  }

  /** Follows an auth URL, signs in, approves, and returns the page that the browser ends on. */
  async agree(url: string): Promise<Response> {
    const signIn = await this.#open(url);
    const consent = await this.#submit(signIn, { handle: this.#handle, pages: "" });
    return this.#submit(consent, { decision: "approve" });
  }

  async #submit(page: Response, values: Record<string, string>): Promise<Response> {
    const form = parse(await page.text())
      .querySelectorAll("form")
      .at(-1);
    if (!form) throw new Error(`no form at ${page.url}, which answered ${page.status}`);
    const fields = new URLSearchParams();
    for (const input of form.querySelectorAll("input[name]").filter(isSent)) {
      fields.append(input.getAttribute("name") ?? "", input.getAttribute("value") ?? "");
    }
    for (const [name, value] of Object.entries(values)) fields.set(name, value);
    return this.#open(new URL(form.getAttribute("action") ?? "", page.url).href, fields);
  }

  // fetch has no cookies, so redirects are followed here, where each can set one.
  async #open(url: string, fields?: URLSearchParams): Promise<Response> {
    const page = await fetch(url, {
      method: fields ? "POST" : "GET",
      body: fields ?? null,
      headers: { cookie: [...this.#cookies].map((cookie) => cookie.join("=")).join("; ") },
      redirect: "manual",
      signal: AbortSignal.timeout(10_000),
    });
    for (const line of page.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]*)=([^;]*)/.exec(line) ?? [];
      this.#cookies.set(name, value);
    }
    const location = page.headers.get("location");
    return location ? this.#open(new URL(location, url).href) : page;
  }
}

function isSent(input: HTMLElement): boolean {
  return input.getAttribute("type") !== "checkbox" || input.hasAttribute("checked");
}
