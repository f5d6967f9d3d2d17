// The story of tests/cases/story.yaml in TypeScript: what a backend does on its first day.
// Run with HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_CA_FILE, HITCHPOST_KEY and HITCHPOST_STORY set.

import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { parse } from "yaml";
import { connect } from "./client.js";
import { failure, isServiceError } from "./failure.js";
import { setting } from "./settings.js";
import { type Step, stepsOf } from "./steps.js";

interface Chapter {
  step: string;
  want: Record<string, unknown>;
}

type Seen = Record<string, unknown>;

async function play(step: Step): Promise<Seen> {
  try {
    return { code: "OK", ...(await step()) };
  } catch (error) {
    if (isServiceError(error)) return { ...failure(error) };
    throw error;
  }
}

const story = parse(readFileSync(setting("HITCHPOST_STORY"), "utf8")) as Chapter[];
const hitchpost = connect(setting("HITCHPOST_ADDRESS"), credentials.createInsecure(), setting("HITCHPOST_KEY"));
try {
  const steps = stepsOf(hitchpost);
  for (const { step: name, want } of story) {
    const step = steps.get(name);
    if (!step) throw new Error(`step ${name} is unknown`);
    const seen = await play(step);
    if (!Object.entries(want).every(([key, value]) => isDeepStrictEqual(seen[key], value))) {
      throw new Error(`step ${name}: saw ${JSON.stringify(seen)}, wanted ${JSON.stringify(want)}`);
    }
    console.log(`step ${name} ok`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  hitchpost.close();
}
