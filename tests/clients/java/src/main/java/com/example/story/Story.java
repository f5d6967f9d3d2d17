package com.example.story;

import io.grpc.InsecureChannelCredentials;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.yaml.snakeyaml.Yaml;

/**
 * The story of tests/cases/story.yaml in Java: what a backend does on its first day. Run with
 * HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_WEB_URL, HITCHPOST_CA_FILE, HITCHPOST_KEY and
 * HITCHPOST_STORY set.
 */
public final class Story {
  private Story() {}

  public static void main(String[] args) throws Exception {
    List<Map<String, Object>> story =
        new Yaml().load(Files.readString(Path.of(setting("HITCHPOST_STORY"))));
    var address = setting("HITCHPOST_ADDRESS");
    var key = setting("HITCHPOST_KEY");
    try (var hitchpost = new Hitchpost(address, InsecureChannelCredentials.create(), key)) {
      var steps = new Steps(hitchpost).byName();
      for (var chapter : story) {
        var name = (String) chapter.get("step");
        var want = (Map<?, ?>) chapter.get("want");
        if (!steps.containsKey(name)) {
          fail("step %s is unknown".formatted(name));
        }
        var seen = play(steps.get(name));
        if (!seen.entrySet().containsAll(want.entrySet())) {
          fail("step %s: saw %s, wanted %s".formatted(name, seen, want));
        }
        System.out.printf("step %s ok%n", name);
      }
    }
  }

  /** A setting from the environment. */
  static String setting(String name) {
    var value = System.getenv(name);
    if (value == null) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }

  private static Map<String, Object> play(Steps.Step step) throws Exception {
    try {
      var seen = new HashMap<String, Object>(Map.of("code", "OK"));
      seen.putAll(step.play());
      return seen;
    } catch (StatusRuntimeException error) {
      return Failure.of(error);
    }
  }

  private static void fail(String message) {
    System.err.println(message);
    System.exit(1);
  }
}
