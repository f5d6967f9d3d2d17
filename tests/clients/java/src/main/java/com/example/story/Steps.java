package com.example.story;

import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.protobuf.Timestamp;
import com.hitchpost.v1.ConfirmAuthRequest;
import com.hitchpost.v1.CreateAuthUrlRequest;
import com.hitchpost.v1.CreateSocialPostRequest;
import com.hitchpost.v1.CreateSocialPostResponse;
import com.hitchpost.v1.GetSocialAccountRequest;
import com.hitchpost.v1.GetSocialPostRequest;
import com.hitchpost.v1.ImportSocialAccountRequest;
import com.hitchpost.v1.ListSocialAccountsRequest;
import com.hitchpost.v1.ListSocialPostsRequest;
import com.hitchpost.v1.Media;
import com.hitchpost.v1.Platform;
import com.hitchpost.v1.SocialAccount;
import com.hitchpost.v1.SocialPost;
import com.hitchpost.v1.SocialPostState;
import io.grpc.ChannelCredentials;
import io.grpc.Context;
import io.grpc.TlsChannelCredentials;
import io.grpc.health.v1.HealthCheckRequest;
import java.io.File;
import java.net.URI;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.Map;
import java.util.UUID;

/** The steps by name. They share a run's names, and what an earlier step found. */
final class Steps {
  /** Returns what it saw; the error of a call is thrown. */
  interface Step {
    Map<String, Object> play() throws Exception;
  }

  private final Hitchpost hitchpost;
  private final String run = UUID.randomUUID().toString().substring(0, 8);
  private final String owner = "owner-" + run;
  private final String other = "other-" + run;
  private final String third = "third-" + run;
  private final String handle = "person." + run;
  private final String tag = "tag-" + run;
  private final String requestId = "request-" + run;
  private final String fourth = "fourth-" + run;
  private String code;
  private String url;
  private SocialAccount account;

  Steps(Hitchpost hitchpost) {
    this.hitchpost = hitchpost;
  }

  Map<String, Step> byName() {
    return Map.ofEntries(
        Map.entry("auth_url", this::authUrl),
        Map.entry("browser", this::browser),
        Map.entry("list_by_external_id", this::listByExternalId),
        Map.entry("hijack_refused", this::hijackRefused),
        Map.entry("confirmation_required", this::confirmationRequired),
        Map.entry("confirmed", this::confirmed),
        Map.entry("confirmed_once", this::confirmed),
        Map.entry("wrong_person", this::wrongPerson),
        Map.entry("wrong_fields", this::wrongFields),
        Map.entry("idempotent_retry", this::idempotentRetry),
        Map.entry("request_id_reused", this::requestIdReused),
        Map.entry("paging", this::paging),
        Map.entry("post_found_by_tag", this::postFoundByTag),
        Map.entry("owner_scope", this::ownerScope),
        Map.entry("no_key", this::noKey),
        Map.entry("deadline", this::deadline),
        Map.entry("cancellation", this::cancellation),
        Map.entry("health", this::health),
        Map.entry("tls", this::tls),
        Map.entry("tls_without_ca", this::tlsWithoutCa),
        Map.entry("published", this::published));
  }

  private Map<String, Object> authUrl() {
    var request =
        CreateAuthUrlRequest.newBuilder()
            .setPlatform(Platform.PLATFORM_SANDBOX)
            .setExternalId(owner)
            .build();
    url = hitchpost.accounts().createAuthUrl(request).getUrl();
    return Map.of();
  }

  private Map<String, Object> browser() throws Exception {
    return Map.of("http_status", new Person(handle).agree(url).statusCode());
  }

  private Map<String, Object> listByExternalId() {
    var request = ListSocialAccountsRequest.newBuilder().addExternalIds(owner).build();
    var found = hitchpost.accounts().listSocialAccounts(request).getSocialAccountsList();
    account = found.get(0);
    check(account.getUsername().equals(handle), "the account has another username");
    return Map.of("accounts", found.size());
  }

  private Map<String, Object> hijackRefused() {
    importAccount(account.getPlatformUserId(), other);
    return Map.of();
  }

  private Map<String, Object> confirmationRequired() throws Exception {
    var address = broughtBack();
    code = parameter(address, "confirmation_code");
    var request = ListSocialAccountsRequest.newBuilder().addExternalIds(fourth).build();
    var found = hitchpost.accounts().listSocialAccounts(request).getSocialAccountsCount();
    return Map.of("status", parameter(address, "status"), "accounts", found);
  }

  private Map<String, Object> confirmed() {
    return Map.of("accounts", confirm(code, fourth));
  }

  private Map<String, Object> wrongPerson() throws Exception {
    return Map.of("accounts", confirm(parameter(broughtBack(), "confirmation_code"), other));
  }

  private Map<String, Object> wrongFields() {
    var request =
        ImportSocialAccountRequest.newBuilder()
            .setPlatform(Platform.PLATFORM_SANDBOX)
            .setExternalId("")
            .addAllScopes(Collections.nCopies(51, "s"))
            .build();
    hitchpost.accounts().importSocialAccount(request);
    return Map.of();
  }

  private Map<String, Object> idempotentRetry() {
    var first = createPost("hello");
    var second = createPost("hello");
    check(second.equals(first), "the second answer differs");
    return Map.of("posts", countPosts(requestId));
  }

  private Map<String, Object> requestIdReused() {
    createPost("something else");
    return Map.of();
  }

  private Map<String, Object> paging() {
    for (int number = 0; number < 5; number++) {
      importAccount(third + "-" + number, third);
    }
    var request = ListSocialAccountsRequest.newBuilder().addExternalIds(third).setPageSize(2);
    var ids = new HashSet<String>();
    int pages = 0;
    do {
      var page = hitchpost.accounts().listSocialAccounts(request.build());
      pages++;
      page.getSocialAccountsList().forEach(listed -> ids.add(listed.getId()));
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return Map.of("pages", pages, "accounts", ids.size());
  }

  private Map<String, Object> postFoundByTag() {
    var time = Instant.parse("2100-01-01T00:00:00Z");
    var post =
        SocialPost.newBuilder()
            .setExternalId(tag)
            .setCaption("hello")
            .addSocialAccountIds(account.getId())
            .setScheduledTime(Timestamp.newBuilder().setSeconds(time.getEpochSecond()))
            .build();
    createPost(post, UUID.randomUUID().toString());
    return Map.of("posts", countPosts(tag));
  }

  private Map<String, Object> ownerScope() {
    var request = GetSocialAccountRequest.newBuilder().setSocialAccountId(account.getId()).build();
    hitchpost
        .accounts()
        .withInterceptors(Hitchpost.header("x-external-id", other))
        .getSocialAccount(request);
    return Map.of();
  }

  private Map<String, Object> noKey() {
    hitchpost.accountsWithoutKey().listSocialAccounts(ListSocialAccountsRequest.getDefaultInstance());
    return Map.of();
  }

  private Map<String, Object> deadline() {
    hitchpost
        .accounts()
        .withDeadlineAfter(-1, SECONDS)
        .listSocialAccounts(ListSocialAccountsRequest.getDefaultInstance());
    return Map.of();
  }

  private Map<String, Object> cancellation() throws Exception {
    var context = Context.current().withCancellation();
    var request = HealthCheckRequest.getDefaultInstance();
    var answers = context.call(() -> hitchpost.health().watch(request));
    answers.next();
    context.cancel(null);
    answers.next();
    return Map.of();
  }

  private Map<String, Object> health() {
    var service = "hitchpost.v1.SocialAccountService";
    var request = HealthCheckRequest.newBuilder().setService(service).build();
    return Map.of("status", hitchpost.health().check(request).getStatus().name());
  }

  private Map<String, Object> tls() throws Exception {
    var ca = new File(Story.setting("HITCHPOST_CA_FILE"));
    return listOverTls(TlsChannelCredentials.newBuilder().trustManager(ca).build());
  }

  private Map<String, Object> tlsWithoutCa() {
    return listOverTls(TlsChannelCredentials.create());
  }

  private Map<String, Object> published() throws Exception {
    var picture = Story.setting("HITCHPOST_WEB_URL") + "/sandbox/pictures/sunrise.png";
    var time = Instant.now().plusSeconds(2);
    var post =
        SocialPost.newBuilder()
            .setCaption("Good morning!")
            .addMedia(Media.newBuilder().setUrl(picture).setAltText("A sunrise"))
            .addSocialAccountIds(account.getId())
            .setScheduledTime(
                Timestamp.newBuilder().setSeconds(time.getEpochSecond()).setNanos(time.getNano()))
            .build();
    post = createPost(post, UUID.randomUUID().toString()).getSocialPost();
    var request = GetSocialPostRequest.newBuilder().setSocialPostId(post.getId()).build();
    for (int tries = 0;
        post.getState() != SocialPostState.SOCIAL_POST_STATE_PUBLISHED && tries < 300;
        tries++) {
      Thread.sleep(200);
      post = hitchpost.posts().getSocialPost(request).getSocialPost();
    }
    var page = new Person(handle).open(post.getTargets(0).getPlatformPostUrl());
    return Map.of("state", post.getState().name(), "http_status", page.statusCode());
  }

  private Map<String, Object> listOverTls(ChannelCredentials credentials) {
    var address = Story.setting("HITCHPOST_TLS_ADDRESS");
    try (var secure = new Hitchpost(address, credentials, Story.setting("HITCHPOST_KEY"))) {
      secure.accounts().listSocialAccounts(ListSocialAccountsRequest.getDefaultInstance());
    }
    return Map.of();
  }

  /** Where a browser ends: at the redirect_url of an attempt, with what it brings there. */
  private URI broughtBack() throws Exception {
    var request =
        CreateAuthUrlRequest.newBuilder()
            .setPlatform(Platform.PLATFORM_SANDBOX)
            .setExternalId(fourth)
            .setRedirectUrl(Story.setting("HITCHPOST_WEB_URL") + "/")
            .setRequireConfirmation(true)
            .build();
    return new Person(handle + ".4").agree(hitchpost.accounts().createAuthUrl(request).getUrl()).uri();
  }

  /** A parameter of a query in which nothing is escaped. */
  private static String parameter(URI address, String name) {
    return Arrays.stream(address.getQuery().split("&"))
        .filter(pair -> pair.startsWith(name + "="))
        .map(pair -> pair.substring(name.length() + 1))
        .findFirst()
        .orElseThrow();
  }

  private int confirm(String code, String externalId) {
    var request =
        ConfirmAuthRequest.newBuilder().setConfirmationCode(code).setExternalId(externalId).build();
    return hitchpost.accounts().confirmAuth(request).getConnectedAccountsCount();
  }

  private void importAccount(String platformUserId, String externalId) {
    var request =
        ImportSocialAccountRequest.newBuilder()
            .setPlatform(Platform.PLATFORM_SANDBOX)
            .setPlatformUserId(platformUserId)
            .setExternalId(externalId)
            .setAccessToken("example")
            .setRequestId(UUID.randomUUID().toString())
            .build();
    hitchpost.accounts().importSocialAccount(request);
  }

  private CreateSocialPostResponse createPost(String caption) {
    var post =
        SocialPost.newBuilder()
            .setExternalId(requestId)
            .setCaption(caption)
            .addSocialAccountIds(account.getId())
            .build();
    return createPost(post, requestId);
  }

  private CreateSocialPostResponse createPost(SocialPost post, String requestId) {
    var request =
        CreateSocialPostRequest.newBuilder().setSocialPost(post).setRequestId(requestId).build();
    return hitchpost.posts().createSocialPost(request);
  }

  private int countPosts(String externalId) {
    var request = ListSocialPostsRequest.newBuilder().addExternalIds(externalId).build();
    return hitchpost.posts().listSocialPosts(request).getSocialPostsCount();
  }

  private static void check(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalStateException(otherwise);
    }
  }
}
