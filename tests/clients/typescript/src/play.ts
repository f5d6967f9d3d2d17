import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { parse } from "yaml";
import { setting } from "./settings.js";

/** What a step saw; an error of a call is thrown. */
export type Step = () => Promise<object>;

/** What an error says: its code, and from its details the reason, metadata and fields. */
export interface Failure {
  code?: string;
  reason?: string;
  metadata?: Record<string, string>;
  fields?: string[];
}

interface Chapter {
  step: string;
  want: Record<string, unknown>;
}

/** Plays the story, and compares what each step saw. `failureOf` tells what an error says, if a call has failed. */
export async function play(steps: Map<string, Step>, failureOf: (error: unknown) => Failure | undefined) {
  async function sightOf(step: Step): Promise<Record<string, unknown>> {
    try {
      return { code: "OK", ...(await step()) };
    } catch (error) {
      const failure = failureOf(error);
      if (!failure) throw error;
      return { ...failure };
    }
  }

  const story = parse(readFileSync(setting("HITCHPOST_STORY"), "utf8")) as Chapter[];
  for (const { step: name, want } of story) {
    const step = steps.get(name);
    if (!step) throw new Error(`step ${name} is unknown`);
    const seen = await sightOf(step);
    if (!Object.entries(want).every(([key, value]) => isDeepStrictEqual(seen[key], value))) {
      throw new Error(`step ${name}: saw ${JSON.stringify(seen)}, wanted ${JSON.stringify(want)}`);
    }
    console.log(`step ${name} ok`);
  }
}
