package main

import (
	"context"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

// retries covers the calls that may be repeated: they only read, or carry a request_id.
const retries = `{
  "methodConfig": [{
    "name": [
      {"service": "hitchpost.v1.SocialAccountService", "method": "GetSocialAccount"},
      {"service": "hitchpost.v1.SocialAccountService", "method": "ListSocialAccounts"},
      {"service": "hitchpost.v1.SocialAccountService", "method": "ImportSocialAccount"},
      {"service": "hitchpost.v1.SocialPostService", "method": "GetSocialPost"},
      {"service": "hitchpost.v1.SocialPostService", "method": "ListSocialPosts"},
      {"service": "hitchpost.v1.SocialPostService", "method": "CreateSocialPost"}
    ],
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]
    }
  }]
}`

func connect(address string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, grpc.WithTransportCredentials(creds), grpc.WithDefaultServiceConfig(retries))
}

func withKey(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("HITCHPOST_KEY"))
}
