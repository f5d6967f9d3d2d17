import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { credentials, Metadata } from "@grpc/grpc-js";
import { bearer, connect, type Hitchpost } from "./client.js";
import { HealthCheckRequest, HealthCheckResponse_ServingStatus } from "./gen/health/v1/health.js";
import { Platform } from "./gen/hitchpost/v1/platform.js";
import {
  ConfirmAuthRequest,
  CreateAuthUrlRequest,
  GetSocialAccountRequest,
  ImportSocialAccountRequest,
  ListSocialAccountsRequest,
  SocialAccount,
} from "./gen/hitchpost/v1/social_account_service.js";
import {
  CreateSocialPostRequest,
  GetSocialPostRequest,
  ListSocialPostsRequest,
  Media,
  SocialPost,
  SocialPostState,
} from "./gen/hitchpost/v1/social_post_service.js";
import { Person } from "./person.js";
import type { Step } from "./play.js";
import { setting } from "./settings.js";

/** The steps by name. They share a run's names, and what an earlier step found. */
export function stepsOf(hitchpost: Hitchpost): Map<string, Step> {
  const run = randomUUID().slice(0, 8);
  const owner = `owner-${run}`;
  const other = `other-${run}`;
  const third = `third-${run}`;
  const handle = `person.${run}`;
  const tag = `tag-${run}`;
  const requestId = `request-${run}`;
  const fourth = `fourth-${run}`;
  let code = "";
  let url = "";
  let account = SocialAccount.create();

  /** What a browser brings to the redirect_url of an attempt. */
  async function broughtBack(): Promise<URLSearchParams> {
    const request = CreateAuthUrlRequest.create({
      platform: Platform.PLATFORM_SANDBOX,
      externalId: fourth,
      redirectUrl: `${setting("HITCHPOST_WEB_URL")}/`,
      requireConfirmation: true,
    });
    const page = await new Person(`${handle}.4`).agree((await hitchpost.createAuthUrl(request)).url);
    return new URL(page.url).searchParams;
  }

  async function confirm(confirmationCode: string, externalId: string): Promise<object> {
    const request = ConfirmAuthRequest.create({ confirmationCode, externalId });
    return { accounts: (await hitchpost.confirmAuth(request)).connectedAccounts.length };
  }

  async function importAccount(platformUserId: string, externalId: string): Promise<void> {
    await hitchpost.importSocialAccount(
      ImportSocialAccountRequest.create({
        platform: Platform.PLATFORM_SANDBOX,
        platformUserId,
        externalId,
        accessToken: "example",
        requestId: randomUUID(),
      }),
    );
  }

  async function createPost(caption: string) {
    const socialPost = SocialPost.create({ externalId: requestId, caption, socialAccountIds: [account.id] });
    return hitchpost.createSocialPost(CreateSocialPostRequest.create({ socialPost, requestId }));
  }

  async function countPosts(externalId: string): Promise<number> {
    const request = ListSocialPostsRequest.create({ externalIds: [externalId] });
    return (await hitchpost.listSocialPosts(request)).socialPosts.length;
  }

  async function listOverTls(ca: Buffer | null): Promise<object> {
    const secure = connect(setting("HITCHPOST_TLS_ADDRESS"), credentials.createSsl(ca), setting("HITCHPOST_KEY"));
    try {
      await secure.listSocialAccounts(ListSocialAccountsRequest.create({ pageSize: 1 }));
      return {};
    } finally {
      secure.close();
    }
  }

  const steps: Record<string, Step> = {
    async auth_url() {
      const request = CreateAuthUrlRequest.create({ platform: Platform.PLATFORM_SANDBOX, externalId: owner });
      url = (await hitchpost.createAuthUrl(request)).url;
      return {};
    },

    async browser() {
      const page = await new Person(handle).agree(url);
      return { http_status: page.status };
    },

    async list_by_external_id() {
      const request = ListSocialAccountsRequest.create({ externalIds: [owner] });
      const { socialAccounts } = await hitchpost.listSocialAccounts(request);
      account = socialAccounts[0] ?? account;
      assert.equal(account.username, handle);
      return { accounts: socialAccounts.length };
    },

    async hijack_refused() {
      await importAccount(account.platformUserId, other);
      return {};
    },

    async confirmation_required() {
      const query = await broughtBack();
      code = query.get("confirmation_code") ?? "";
      const request = ListSocialAccountsRequest.create({ externalIds: [fourth] });
      const { socialAccounts } = await hitchpost.listSocialAccounts(request);
      return { status: query.get("status"), accounts: socialAccounts.length };
    },

    confirmed: () => confirm(code, fourth),

    confirmed_once: () => confirm(code, fourth),

    async wrong_person() {
      return confirm((await broughtBack()).get("confirmation_code") ?? "", other);
    },

    async wrong_fields() {
      await hitchpost.importSocialAccount(
        ImportSocialAccountRequest.create({
          platform: Platform.PLATFORM_SANDBOX,
          externalId: "",
          scopes: Array<string>(51).fill("s"),
          requestId: randomUUID(),
        }),
      );
      return {};
    },

    async idempotent_retry() {
      const first = await createPost("hello");
      const second = await createPost("hello");
      assert.deepEqual(second, first);
      return { posts: await countPosts(requestId) };
    },

    async request_id_reused() {
      await createPost("something else");
      return {};
    },

    async paging() {
      for (let number = 0; number < 5; number++) await importAccount(`${third}-${number}`, third);
      const request = ListSocialAccountsRequest.create({ externalIds: [third], pageSize: 2 });
      const ids = new Set<string>();
      let pages = 0;
      do {
        const page = await hitchpost.listSocialAccounts(request);
        pages += 1;
        for (const { id } of page.socialAccounts) ids.add(id);
        request.pageToken = page.nextPageToken;
      } while (request.pageToken);
      return { pages, accounts: ids.size };
    },

    async post_found_by_tag() {
      const socialPost = SocialPost.create({
        externalId: tag,
        caption: "hello",
        socialAccountIds: [account.id],
        scheduledTime: new Date("2100-01-01T00:00:00Z"),
      });
      await hitchpost.createSocialPost(CreateSocialPostRequest.create({ socialPost, requestId: randomUUID() }));
      return { posts: await countPosts(tag) };
    },

    async owner_scope() {
      const metadata = bearer(setting("HITCHPOST_KEY"));
      metadata.set("x-external-id", other);
      const request = GetSocialAccountRequest.create({ socialAccountId: account.id });
      await hitchpost.getSocialAccount(request, { metadata });
      return {};
    },

    async no_key() {
      await hitchpost.listSocialAccounts(ListSocialAccountsRequest.create(), { metadata: new Metadata() });
      return {};
    },

    async deadline() {
      await hitchpost.listSocialAccounts(ListSocialAccountsRequest.create(), { timeout: -1 });
      return {};
    },

    async cancellation() {
      const answers = hitchpost.watchHealth(HealthCheckRequest.create());
      for await (const _ of answers) answers.cancel();
      return {};
    },

    async health() {
      const request = HealthCheckRequest.create({ service: "hitchpost.v1.SocialAccountService" });
      const { status } = await hitchpost.checkHealth(request);
      return { status: HealthCheckResponse_ServingStatus[status] };
    },

    tls: () => listOverTls(readFileSync(setting("HITCHPOST_CA_FILE"))),

    tls_without_ca: () => listOverTls(null),

    async published() {
      const picture = `${setting("HITCHPOST_WEB_URL")}/sandbox/pictures/sunrise.png`;
      const socialPost = SocialPost.create({
        caption: "Good morning!",
        media: [Media.create({ url: picture, altText: "A sunrise" })],
        socialAccountIds: [account.id],
        scheduledTime: new Date(Date.now() + 2_000),
      });
      const request = CreateSocialPostRequest.create({ socialPost, requestId: randomUUID() });
      let post = (await hitchpost.createSocialPost(request)).socialPost ?? socialPost;
      for (let tries = 0; post.state !== SocialPostState.SOCIAL_POST_STATE_PUBLISHED && tries < 300; tries++) {
        await setTimeout(200);
        const wanted = GetSocialPostRequest.create({ socialPostId: post.id });
        post = (await hitchpost.getSocialPost(wanted)).socialPost ?? post;
      }
      const page = await fetch(post.targets[0]?.platformPostUrl ?? "");
      return { state: SocialPostState[post.state], http_status: page.status };
    },
  };
  return new Map(Object.entries(steps));
}
