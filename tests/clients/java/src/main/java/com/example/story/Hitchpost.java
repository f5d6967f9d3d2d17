package com.example.story;

import static java.util.concurrent.TimeUnit.SECONDS;

import com.hitchpost.v1.SocialAccountServiceGrpc;
import com.hitchpost.v1.SocialPostServiceGrpc;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Map;

/**
 * A client of one server. Its methods make a stub for one call each, because the deadline of a stub
 * counts from the moment it is set.
 */
final class Hitchpost implements AutoCloseable {
  private static final String ACCOUNTS = SocialAccountServiceGrpc.SERVICE_NAME;
  private static final String POSTS = SocialPostServiceGrpc.SERVICE_NAME;
  private static final int TIMEOUT_SECONDS = 10;

  // Calls that may be repeated: they only read, or carry a request_id. Numbers must be doubles.
  private static final Map<String, ?> RETRIES =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name",
                  List.of(
                      Map.of("service", ACCOUNTS, "method", "GetSocialAccount"),
                      Map.of("service", ACCOUNTS, "method", "ListSocialAccounts"),
                      Map.of("service", ACCOUNTS, "method", "ImportSocialAccount"),
                      Map.of("service", POSTS, "method", "GetSocialPost"),
                      Map.of("service", POSTS, "method", "ListSocialPosts"),
                      Map.of("service", POSTS, "method", "CreateSocialPost")),
                  "retryPolicy",
                  Map.of(
                      "maxAttempts", 4.0,
                      "initialBackoff", "0.1s",
                      "maxBackoff", "2s",
                      "backoffMultiplier", 2.0,
                      "retryableStatusCodes", List.of("UNAVAILABLE", "CANCELLED")))));

  private final ManagedChannel channel;
  private final ClientInterceptor key;

  Hitchpost(String address, ChannelCredentials credentials, String key) {
    this.channel = Grpc.newChannelBuilder(address, credentials).defaultServiceConfig(RETRIES).build();
    this.key = header("authorization", "Bearer " + key);
  }

  /** Sends a header with each call of a stub. */
  static ClientInterceptor header(String name, String value) {
    var metadata = new Metadata();
    metadata.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
    return MetadataUtils.newAttachHeadersInterceptor(metadata);
  }

  SocialAccountServiceGrpc.SocialAccountServiceBlockingStub accounts() {
    return accountsWithoutKey().withInterceptors(key);
  }

  SocialAccountServiceGrpc.SocialAccountServiceBlockingStub accountsWithoutKey() {
    return SocialAccountServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(TIMEOUT_SECONDS, SECONDS);
  }

  SocialPostServiceGrpc.SocialPostServiceBlockingStub posts() {
    return SocialPostServiceGrpc.newBlockingStub(channel)
        .withInterceptors(key)
        .withDeadlineAfter(TIMEOUT_SECONDS, SECONDS);
  }

  HealthGrpc.HealthBlockingStub health() {
    return HealthGrpc.newBlockingStub(channel).withDeadlineAfter(TIMEOUT_SECONDS, SECONDS);
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
