package com.example.story;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.net.CookieManager;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jsoup.Jsoup;

/** Somebody who signs in to the sandbox by a handle: cookies and forms, as far as its pages need them. */
final class Person {
  private final String handle;
  private final HttpClient browser =
      HttpClient.newBuilder()
          .version(HttpClient.Version.HTTP_1_1)
          .cookieHandler(new CookieManager())
          .followRedirects(HttpClient.Redirect.NORMAL)
          .build();

  Person(String handle) {
    this.handle = handle;
  }

  /** Follows an auth URL, signs in, approves, and returns the page that the browser ends on. */
  HttpResponse<String> agree(String url) throws IOException, InterruptedException {
    var signIn = open(url);
    var consent = submit(signIn, "form:has([name=handle])", Map.of("handle", handle, "pages", ""));
    return submit(consent, "form:has([name=decision])", Map.of("decision", "approve"));
  }

  /** One page. */
  HttpResponse<String> open(String url) throws IOException, InterruptedException {
    return send(HttpRequest.newBuilder(URI.create(url)));
  }

  private HttpResponse<String> submit(
      HttpResponse<String> page, String selector, Map<String, String> values)
      throws IOException, InterruptedException {
    var form = Jsoup.parse(page.body(), page.uri().toString()).expectForm(selector);
    var filledIn = form.formData().stream().filter(field -> !values.containsKey(field.key()));
    var typedIn = values.entrySet().stream();
    var body =
        Stream.concat(
                filledIn.map(field -> pair(field.key(), field.value())),
                typedIn.map(field -> pair(field.getKey(), field.getValue())))
            .collect(Collectors.joining("&"));
    return send(
        HttpRequest.newBuilder(URI.create(form.absUrl("action")))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(BodyPublishers.ofString(body)));
  }

  private HttpResponse<String> send(HttpRequest.Builder request)
      throws IOException, InterruptedException {
    return browser.send(request.timeout(Duration.ofSeconds(10)).build(), BodyHandlers.ofString());
  }

  private static String pair(String name, String value) {
    return URLEncoder.encode(name, UTF_8) + "=" + URLEncoder.encode(value, UTF_8);
  }
}
