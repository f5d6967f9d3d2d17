package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	hitchpostv1 "example.com/hitchpost/contender/gen/hitchpost/v1"
)

const (
	domain       = "hitchpost"
	keyCacheTime = 20 * time.Second
)

// caller is the API key of a call.
type caller struct {
	projectID string
	readOnly  bool
}

type callerKey struct{}

// callerOf is for calls that have passed keyRing.authenticate.
func callerOf(ctx context.Context) caller {
	return ctx.Value(callerKey{}).(caller)
}

type knownKey struct {
	caller caller
	until  time.Time
}

// keyRing knows the API keys that were used lately.
type keyRing struct {
	pool *pgxpool.Pool

	mu    sync.RWMutex
	known map[[sha256.Size]byte]knownKey
}

func newKeyRing(pool *pgxpool.Pool) *keyRing {
	return &keyRing{pool: pool, known: map[[sha256.Size]byte]knownKey{}}
}

// authenticate is a unary interceptor that refuses calls without a valid API key.
func (k *keyRing) authenticate(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	if len(metadata.ValueFromIncomingContext(ctx, "x-external-id")) > 0 ||
		len(metadata.ValueFromIncomingContext(ctx, "x-external-id-bin")) > 0 {
		return nil, status.Error(codes.Unimplemented, "owner scopes are not part of the benchmark")
	}
	key, ok := bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if !ok {
		return nil, failure(codes.Unauthenticated, hitchpostv1.ErrorReason_ERROR_REASON_API_KEY_MISSING,
			"this call needs an API key")
	}
	found, err := k.find(ctx, sha256.Sum256([]byte(key)))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, failure(codes.Unauthenticated, hitchpostv1.ErrorReason_ERROR_REASON_API_KEY_INVALID,
			"the API key is unknown or revoked")
	}
	if err != nil {
		return nil, err
	}
	return handler(context.WithValue(ctx, callerKey{}, found), request)
}

func (k *keyRing) find(ctx context.Context, hash [sha256.Size]byte) (caller, error) {
	k.mu.RLock()
	known, ok := k.known[hash]
	k.mu.RUnlock()
	if ok && time.Now().Before(known.until) {
		return known.caller, nil
	}
	var found caller
	err := k.pool.QueryRow(ctx,
		"SELECT project_id, read_only FROM api_key WHERE hash = $1 AND revoke_time IS NULL", hash[:],
	).Scan(&found.projectID, &found.readOnly)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		delete(k.known, hash)
		return caller{}, err
	}
	k.known[hash] = knownKey{caller: found, until: time.Now().Add(keyCacheTime)}
	return found, nil
}

func bearer(authorization []string) (key string, ok bool) {
	if len(authorization) != 1 {
		return "", false
	}
	scheme, key, _ := strings.Cut(authorization[0], " ")
	return key, key != "" && strings.EqualFold(scheme, "bearer")
}

// maskErrors is a unary interceptor that logs errors which are not meant for the caller.
func maskErrors(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	response, err := handler(ctx, request)
	if err == nil {
		return response, nil
	}
	if _, ok := status.FromError(err); ok {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	log.Printf("%s: %v", info.FullMethod, err)
	return nil, failure(codes.Internal, hitchpostv1.ErrorReason_ERROR_REASON_INTERNAL, "internal error")
}

func failure(
	code codes.Code, reason hitchpostv1.ErrorReason, message string, more ...protoadapt.MessageV1,
) error {
	details := append([]protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: reason.String(), Domain: domain},
	}, more...)
	detailed, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}
	return detailed.Err()
}

func invalid(field, description string) error {
	return failure(codes.InvalidArgument, hitchpostv1.ErrorReason_ERROR_REASON_FIELD_INVALID,
		fmt.Sprintf("the request is invalid: %s: %s", field, description),
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: description},
		}})
}

func accountNotFound(id string) error {
	return failure(codes.NotFound, hitchpostv1.ErrorReason_ERROR_REASON_SOCIAL_ACCOUNT_NOT_FOUND,
		fmt.Sprintf("there is no social account %s", id))
}

func checkExternalID(field, value string) error {
	if length := utf8.RuneCountInString(value); length < 1 || length > 255 {
		return invalid(field, "must have 1 to 255 characters")
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return invalid(field, "must not have control characters")
	}
	return nil
}
