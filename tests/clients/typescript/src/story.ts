// The story of tests/cases/story.yaml in TypeScript: what a backend does on its first day.
// Run with HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_WEB_URL, HITCHPOST_CA_FILE, HITCHPOST_KEY and
// HITCHPOST_STORY set.

import { credentials } from "@grpc/grpc-js";
import { connect } from "./client.js";
import { failure, isServiceError } from "./failure.js";
import { play } from "./play.js";
import { setting } from "./settings.js";
import { stepsOf } from "./steps.js";

const hitchpost = connect(setting("HITCHPOST_ADDRESS"), credentials.createInsecure(), setting("HITCHPOST_KEY"));
try {
  await play(stepsOf(hitchpost), (error) => (isServiceError(error) ? failure(error) : undefined));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  hitchpost.close();
}
