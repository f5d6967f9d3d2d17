// The story of tests/cases/story.yaml over HTTP, as far as HTTP has it: what a backend does on its first day.
// Run with HITCHPOST_WEB_URL, HITCHPOST_KEY and HITCHPOST_STORY set.

import { connect, Refused } from "./client.js";
import { play } from "./gen/play.js";
import { setting } from "./gen/settings.js";
import { stepsOf } from "./steps.js";

try {
  const hitchpost = connect(setting("HITCHPOST_WEB_URL"), setting("HITCHPOST_KEY"));
  await play(stepsOf(hitchpost), (error) => (error instanceof Refused ? error.failure : undefined));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
