import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { HealthCheckRequest, HealthClient } from "./gen/health/v1/health.js";
import { SocialAccountServiceClient } from "./gen/hitchpost/v1/social_account_service.js";
import { SocialPostServiceClient } from "./gen/hitchpost/v1/social_post_service.js";

// Calls that may be repeated: they only read, or carry a request_id.
const RETRIES = {
  methodConfig: [
    {
      name: [
        { service: "hitchpost.v1.SocialAccountService", method: "GetSocialAccount" },
        { service: "hitchpost.v1.SocialAccountService", method: "ListSocialAccounts" },
        { service: "hitchpost.v1.SocialAccountService", method: "ImportSocialAccount" },
        { service: "hitchpost.v1.SocialPostService", method: "GetSocialPost" },
        { service: "hitchpost.v1.SocialPostService", method: "ListSocialPosts" },
        { service: "hitchpost.v1.SocialPostService", method: "CreateSocialPost" },
      ],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE", "CANCELLED"],
      },
    },
  ],
};

export interface Options {
  /** Instead of the API key alone. */
  metadata?: Metadata;
  /** Milliseconds until the deadline. */
  timeout?: number;
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export function bearer(key: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

/** A client of one server whose methods return promises. */
export function connect(address: string, credentials: ChannelCredentials, key: string) {
  const options = { "grpc.service_config": JSON.stringify(RETRIES) };
  const accounts = new SocialAccountServiceClient(address, credentials, options);
  const posts = new SocialPostServiceClient(address, credentials, options);
  const health = new HealthClient(address, credentials);

  function promised<Request, Response>(client: Client, method: Unary<Request, Response>) {
    return (request: Request, { metadata = bearer(key), timeout = 10_000 }: Options = {}) =>
      new Promise<Response>((resolve, reject) => {
        const deadline = Date.now() + timeout;
        method.call(client, request, metadata, { deadline }, (error, response) =>
          error ? reject(error) : resolve(response),
        );
      });
  }

  return {
    createAuthUrl: promised(accounts, accounts.createAuthUrl),
    confirmAuth: promised(accounts, accounts.confirmAuth),
    importSocialAccount: promised(accounts, accounts.importSocialAccount),
    getSocialAccount: promised(accounts, accounts.getSocialAccount),
    listSocialAccounts: promised(accounts, accounts.listSocialAccounts),
    createSocialPost: promised(posts, posts.createSocialPost),
    getSocialPost: promised(posts, posts.getSocialPost),
    listSocialPosts: promised(posts, posts.listSocialPosts),
    checkHealth: promised(health, health.check),
    watchHealth: (request: HealthCheckRequest, timeout = 10_000) =>
      health.watch(request, new Metadata(), { deadline: Date.now() + timeout }),
    close: () => [accounts, posts, health].forEach((client) => client.close()),
  };
}

export type Hitchpost = ReturnType<typeof connect>;
