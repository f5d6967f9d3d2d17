import createClient, { type Client } from "openapi-fetch";
import type { Failure } from "./gen/play.js";
import type { components, paths } from "./gen/schema.js";

type Problem = components["schemas"]["Problem"];

/** A call that was refused, and why. */
export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }

  get failure(): Failure {
    const { code, reason, metadata, fields } = this.problem;
    return {
      ...(code && { code }),
      ...(reason && { reason: reason.replace(/^ERROR_REASON_/, "") }),
      ...(metadata && { metadata }),
      ...(fields && { fields: fields.map(({ field }) => field) }),
    };
  }
}

export type Hitchpost = Client<paths>;

/** A client of the methods over HTTP, typed by the server's own document. */
export function connect(baseUrl: string, key: string): Hitchpost {
  return createClient<paths>({
    baseUrl,
    headers: { authorization: `Bearer ${key}` },
    fetch: (request) => fetch(request, { signal: AbortSignal.timeout(10_000) }),
  });
}

interface Result<Answer> {
  data?: Answer;
  error?: Problem;
  response: Response;
}

/** What a call was answered; throws why it was refused. */
export async function answer<Answer>(call: Promise<Result<Answer>>): Promise<Answer> {
  const { data, error, response } = await call;
  if (error) throw new Refused(error);
  if (data === undefined) throw new Error(`${response.url} answered ${response.status} and nothing else`);
  return data;
}
