import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { answer, type Hitchpost } from "./client.js";
import { Person } from "./gen/person.js";
import type { Step } from "./gen/play.js";
import type { components } from "./gen/schema.js";
import { setting } from "./gen/settings.js";

/** The steps by name. They share a run's names, and what an earlier step found. */
export function stepsOf(hitchpost: Hitchpost): Map<string, Step> {
  const run = randomUUID().slice(0, 8);
  const owner = `owner-${run}`;
  const other = `other-${run}`;
  const third = `third-${run}`;
  const handle = `person.${run}`;
  const tag = `tag-${run}`;
  const requestId = `request-${run}`;
  const platform = "PLATFORM_SANDBOX" as const;
  const fourth = `fourth-${run}`;
  let code = "";
  let url = "";
  let found: components["schemas"]["SocialAccount"] | undefined;

  function account() {
    assert(found, "no step has found the account");
    return found;
  }

  /** What a browser brings to the redirect_url of an attempt. */
  async function broughtBack(): Promise<URLSearchParams> {
    const redirect_url = `${setting("HITCHPOST_WEB_URL")}/`;
    const body = { platform, external_id: fourth, redirect_url, require_confirmation: true };
    const begun = await answer(hitchpost.POST("/v1/social-accounts/auth-url", { body }));
    return new URL((await new Person(`${handle}.4`).agree(begun.url)).url).searchParams;
  }

  async function confirm(confirmation_code: string, external_id: string): Promise<object> {
    const body = { confirmation_code, external_id };
    const { connected_accounts } = await answer(hitchpost.POST("/v1/social-accounts/confirm-auth", { body }));
    return { accounts: connected_accounts.length };
  }

  function importAccount(platform_user_id: string, external_id: string) {
    const body = { platform, platform_user_id, external_id, access_token: "example", request_id: randomUUID() };
    return answer(hitchpost.POST("/v1/social-accounts", { body }));
  }

  function createPost(external_id: string, caption: string, requestId: string, scheduled_time?: string) {
    return answer(
      hitchpost.POST("/v1/social-posts", {
        params: { header: { "Idempotency-Key": requestId } },
        body: { external_id, caption, social_account_ids: [account().id], ...(scheduled_time && { scheduled_time }) },
      }),
    );
  }

  async function countPosts(externalId: string): Promise<number> {
    const query = { external_ids: [externalId] };
    return (await answer(hitchpost.GET("/v1/social-posts", { params: { query } }))).social_posts.length;
  }

  const steps: Record<string, Step> = {
    async auth_url() {
      const body = { platform, external_id: owner };
      ({ url } = await answer(hitchpost.POST("/v1/social-accounts/auth-url", { body })));
      return {};
    },

    async browser() {
      const page = await new Person(handle).agree(url);
      return { http_status: page.status };
    },

    async list_by_external_id() {
      const query = { external_ids: [owner] };
      const { social_accounts } = await answer(hitchpost.GET("/v1/social-accounts", { params: { query } }));
      found = social_accounts[0];
      assert.equal(account().username, handle);
      return { accounts: social_accounts.length };
    },

    hijack_refused: () => importAccount(account().platform_user_id, other),

    async confirmation_required() {
      const brought = await broughtBack();
      code = brought.get("confirmation_code") ?? "";
      const query = { external_ids: [fourth] };
      const { social_accounts } = await answer(hitchpost.GET("/v1/social-accounts", { params: { query } }));
      return { status: brought.get("status"), accounts: social_accounts.length };
    },

    confirmed: () => confirm(code, fourth),

    confirmed_once: () => confirm(code, fourth),

    async wrong_person() {
      return confirm((await broughtBack()).get("confirmation_code") ?? "", other);
    },

    async wrong_fields() {
      const scopes = Array<string>(51).fill("s");
      const body = { platform, platform_user_id: "", external_id: "", access_token: "", scopes };
      return answer(hitchpost.POST("/v1/social-accounts", { body }));
    },

    async idempotent_retry() {
      const first = await createPost(requestId, "hello", requestId);
      const second = await createPost(requestId, "hello", requestId);
      assert.deepEqual(second, first);
      return { posts: await countPosts(requestId) };
    },

    request_id_reused: () => createPost(requestId, "something else", requestId),

    async paging() {
      for (let number = 0; number < 5; number++) await importAccount(`${third}-${number}`, third);
      const ids = new Set<string>();
      let pages = 0;
      let page_token = "";
      do {
        const query = { external_ids: [third], page_size: 2, page_token };
        const page = await answer(hitchpost.GET("/v1/social-accounts", { params: { query } }));
        pages += 1;
        for (const { id } of page.social_accounts) ids.add(id);
        page_token = page.next_page_token;
      } while (page_token);
      return { pages, accounts: ids.size };
    },

    async post_found_by_tag() {
      await createPost(tag, "hello", randomUUID(), "2100-01-01T00:00:00Z");
      return { posts: await countPosts(tag) };
    },

    owner_scope: () =>
      answer(
        hitchpost.GET("/v1/social-accounts/{social_account_id}", {
          params: { path: { social_account_id: account().id }, header: { "X-External-Id": other } },
        }),
      ),

    no_key: () => answer(hitchpost.GET("/v1/social-accounts", { headers: { authorization: null } })),

    // Not in the document: it is no method of the contract.
    async health() {
      const response = await fetch(new URL("/healthz", setting("HITCHPOST_WEB_URL")));
      const { status }: { status?: string } = await response.json();
      return { status };
    },

    async published() {
      const picture = `${setting("HITCHPOST_WEB_URL")}/sandbox/pictures/sunrise.png`;
      const body = {
        caption: "Good morning!",
        media: [{ url: picture, alt_text: "A sunrise" }],
        social_account_ids: [account().id],
        scheduled_time: new Date(Date.now() + 2_000).toISOString(),
      };
      let post = await answer(
        hitchpost.POST("/v1/social-posts", { params: { header: { "Idempotency-Key": randomUUID() } }, body }),
      );
      const path = { social_post_id: post.id };
      for (let tries = 0; post.state !== "SOCIAL_POST_STATE_PUBLISHED" && tries < 300; tries++) {
        await setTimeout(200);
        post = await answer(hitchpost.GET("/v1/social-posts/{social_post_id}", { params: { path } }));
      }
      const page = await fetch(post.targets[0]?.platform_post_url ?? "");
      return { state: post.state, http_status: page.status };
    },
  };
  return new Map(Object.entries(steps));
}
