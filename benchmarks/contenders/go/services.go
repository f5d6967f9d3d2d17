package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	hitchpostv1 "example.com/hitchpost/contender/gen/hitchpost/v1"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	maxFilter       = 1000
	maxAccounts     = 100
	maxCaption      = 65_536

	selectAccount = `SELECT id, platform, platform_user_id, external_id, username, display_name,
	profile_photo_url, state, scopes, access_token_expire_time, metadata, version,
	create_time, update_time, connect_time
FROM social_account WHERE project_id = $1`

	insertPost = `INSERT INTO social_post (id, project_id, external_id, caption, media, scheduled_time,
	state, platform_options, version, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)`

	insertTarget = `INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position,
	state, caption, media, queue_time, due_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`
)

type accountService struct {
	hitchpostv1.UnimplementedSocialAccountServiceServer
	pool *pgxpool.Pool
}

func (s *accountService) GetSocialAccount(
	ctx context.Context, request *hitchpostv1.GetSocialAccountRequest,
) (*hitchpostv1.GetSocialAccountResponse, error) {
	id := request.GetSocialAccountId()
	account, err := scanAccount(s.pool.QueryRow(ctx, selectAccount+" AND id = $2", callerOf(ctx).projectID, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, accountNotFound(id)
	}
	if err != nil {
		return nil, err
	}
	return &hitchpostv1.GetSocialAccountResponse{SocialAccount: account}, nil
}

func (s *accountService) ListSocialAccounts(
	ctx context.Context, request *hitchpostv1.ListSocialAccountsRequest,
) (*hitchpostv1.ListSocialAccountsResponse, error) {
	if err := checkList(request); err != nil {
		return nil, err
	}
	size := min(int(request.GetPageSize()), maxPageSize)
	if size == 0 {
		size = defaultPageSize
	}
	query, args := listQuery(callerOf(ctx).projectID, request, size+1)
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	accounts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*hitchpostv1.SocialAccount, error) {
		return scanAccount(row)
	})
	if err != nil {
		return nil, err
	}
	response := &hitchpostv1.ListSocialAccountsResponse{SocialAccounts: accounts}
	if len(accounts) > size {
		response.SocialAccounts = accounts[:size]
		response.NextPageToken = accounts[size-1].GetId()
	}
	return response, nil
}

func checkList(request *hitchpostv1.ListSocialAccountsRequest) error {
	if request.GetPageSize() < 0 {
		return invalid("page_size", "must not be negative")
	}
	if len(request.GetExternalIds()) > maxFilter {
		return invalid("external_ids", fmt.Sprintf("must have at most %d values", maxFilter))
	}
	for i, id := range request.GetExternalIds() {
		if err := checkExternalID(fmt.Sprintf("external_ids[%d]", i), id); err != nil {
			return err
		}
	}
	if len(request.GetPlatforms())+len(request.GetUsernames())+
		len(request.GetSocialAccountIds())+len(request.GetStates()) > 0 {
		return status.Error(codes.Unimplemented, "of the filters only external_ids is part of the benchmark")
	}
	return nil
}

func listQuery(
	projectID string, request *hitchpostv1.ListSocialAccountsRequest, limit int,
) (query string, args []any) {
	var sql strings.Builder
	sql.WriteString(selectAccount)
	args = []any{projectID}
	where := func(condition string, value any) {
		args = append(args, value)
		fmt.Fprintf(&sql, condition, len(args))
	}
	switch owners := request.GetExternalIds(); len(owners) {
	case 0:
	case 1:
		where(" AND external_id = $%d", owners[0])
	default:
		where(" AND external_id = ANY($%d)", owners)
	}
	if after := request.GetPageToken(); after != "" {
		where(" AND id < $%d", after)
	}
	where(" ORDER BY id DESC LIMIT $%d", limit)
	return sql.String(), args
}

func scanAccount(row pgx.Row) (*hitchpostv1.SocialAccount, error) {
	var (
		account                 hitchpostv1.SocialAccount
		version                 int
		expire                  *time.Time
		create, update, connect time.Time
	)
	err := row.Scan(&account.Id, &account.Platform, &account.PlatformUserId, &account.ExternalId,
		&account.Username, &account.DisplayName, &account.ProfilePhotoUrl, &account.State, &account.Scopes,
		&expire, &account.Metadata, &version, &create, &update, &connect)
	if err != nil {
		return nil, err
	}
	if expire != nil {
		account.AccessTokenExpireTime = timestamppb.New(*expire)
	}
	account.Etag = strconv.Itoa(version)
	account.CreateTime = timestamppb.New(create)
	account.UpdateTime = timestamppb.New(update)
	account.ConnectTime = timestamppb.New(connect)
	return &account, nil
}

type postService struct {
	hitchpostv1.UnimplementedSocialPostServiceServer
	pool *pgxpool.Pool
}

func (s *postService) CreateSocialPost(
	ctx context.Context, request *hitchpostv1.CreateSocialPostRequest,
) (*hitchpostv1.CreateSocialPostResponse, error) {
	caller := callerOf(ctx)
	if caller.readOnly {
		return nil, failure(codes.PermissionDenied, hitchpostv1.ErrorReason_ERROR_REASON_API_KEY_READ_ONLY,
			"the API key is read-only")
	}
	if request.GetRequestId() != "" {
		return nil, status.Error(codes.Unimplemented, "request ids are not part of the benchmark")
	}
	now := time.Now().Truncate(time.Microsecond)
	if err := checkPost(request.GetSocialPost(), now); err != nil {
		return nil, err
	}
	post := newPost(request.GetSocialPost(), now)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		platforms, err := holdAccounts(ctx, tx, caller.projectID, post.GetSocialAccountIds())
		if err != nil {
			return err
		}
		for _, id := range post.GetSocialAccountIds() {
			post.Targets = append(post.Targets, &hitchpostv1.SocialPostTarget{
				SocialAccountId: id,
				Platform:        platforms[id],
				State:           hitchpostv1.SocialPostTargetState_SOCIAL_POST_TARGET_STATE_PENDING,
				SocialPostId:    post.GetId(),
				DueTime:         post.GetScheduledTime(),
			})
		}
		return storePost(ctx, tx, caller.projectID, post)
	})
	if err != nil {
		return nil, err
	}
	return &hitchpostv1.CreateSocialPostResponse{SocialPost: post}, nil
}

func checkPost(post *hitchpostv1.SocialPost, now time.Time) error {
	if post == nil {
		return invalid("social_post", "is required")
	}
	if post.ExternalId != nil {
		if err := checkExternalID("social_post.external_id", post.GetExternalId()); err != nil {
			return err
		}
	}
	if post.GetCaption() == "" && len(post.GetMedia()) == 0 {
		return invalid("social_post.caption", "must not be empty when there is no media")
	}
	if utf8.RuneCountInString(post.GetCaption()) > maxCaption {
		return invalid("social_post.caption", fmt.Sprintf("must have at most %d characters", maxCaption))
	}
	if count := len(post.GetSocialAccountIds()); count < 1 || count > maxAccounts {
		return invalid("social_post.social_account_ids", fmt.Sprintf("must have 1 to %d values", maxAccounts))
	}
	overridable := map[string]bool{}
	for _, id := range post.GetSocialAccountIds() {
		if overridable[id] {
			return invalid("social_post.social_account_ids", "must name each account once")
		}
		overridable[id] = true
	}
	for _, override := range post.GetAccountOverrides() {
		if !overridable[override.GetSocialAccountId()] {
			return invalid("social_post.account_overrides", "must name accounts of social_account_ids, each once")
		}
		overridable[override.GetSocialAccountId()] = false
	}
	if post.ScheduledTime != nil && !post.GetScheduledTime().AsTime().After(now) {
		return invalid("social_post.scheduled_time", "must be in the future")
	}
	return nil
}

// newPost is what was asked for, with all but its targets as it will be stored.
func newPost(asked *hitchpostv1.SocialPost, now time.Time) *hitchpostv1.SocialPost {
	post := &hitchpostv1.SocialPost{
		Id:               "sp_" + ulid.Make().String(),
		ExternalId:       asked.ExternalId,
		Caption:          asked.GetCaption(),
		SocialAccountIds: asked.GetSocialAccountIds(),
		Media:            asked.GetMedia(),
		State:            hitchpostv1.SocialPostState_SOCIAL_POST_STATE_DRAFT,
		AccountOverrides: asked.GetAccountOverrides(),
		PlatformOptions:  asked.GetPlatformOptions(),
		Etag:             "1",
		CreateTime:       timestamppb.New(now),
		UpdateTime:       timestamppb.New(now),
	}
	if asked.ScheduledTime != nil {
		post.State = hitchpostv1.SocialPostState_SOCIAL_POST_STATE_SCHEDULED
		post.ScheduledTime = timestamppb.New(asked.GetScheduledTime().AsTime().Truncate(time.Microsecond))
	}
	return post
}

// holdAccounts keeps the accounts from being deleted until the transaction ends, and returns their platforms.
func holdAccounts(
	ctx context.Context, tx pgx.Tx, projectID string, ids []string,
) (map[string]hitchpostv1.Platform, error) {
	rows, err := tx.Query(ctx, `SELECT id, platform FROM social_account
WHERE id = ANY($1) AND project_id = $2 ORDER BY id FOR KEY SHARE`, ids, projectID)
	if err != nil {
		return nil, err
	}
	platforms := make(map[string]hitchpostv1.Platform, len(ids))
	var (
		id       string
		platform hitchpostv1.Platform
	)
	if _, err := pgx.ForEachRow(rows, []any{&id, &platform}, func() error {
		platforms[id] = platform
		return nil
	}); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, ok := platforms[id]; !ok {
			return nil, accountNotFound(id)
		}
	}
	return platforms, nil
}

// storePost inserts the post and its targets in one round trip.
func storePost(ctx context.Context, tx pgx.Tx, projectID string, post *hitchpostv1.SocialPost) error {
	options := []byte("{}")
	if post.PlatformOptions != nil {
		var err error
		options, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(post.PlatformOptions)
		if err != nil {
			return err
		}
	}
	var scheduled *time.Time
	if post.ScheduledTime != nil {
		at := post.GetScheduledTime().AsTime()
		scheduled = &at
	}
	overrides := map[string]*hitchpostv1.AccountOverride{}
	for _, override := range post.GetAccountOverrides() {
		overrides[override.GetSocialAccountId()] = override
	}
	batch := &pgx.Batch{}
	batch.Queue(insertPost, post.GetId(), projectID, post.ExternalId, post.GetCaption(),
		mediaItems(post.GetMedia()), scheduled, post.GetState(), options, post.GetCreateTime().AsTime())
	for position, target := range post.GetTargets() {
		var (
			caption *string
			media   any
		)
		if override, ok := overrides[target.GetSocialAccountId()]; ok {
			caption = override.Caption
			if len(override.GetMedia()) > 0 {
				media = mediaItems(override.GetMedia())
			}
		}
		batch.Queue(insertTarget, projectID, post.GetId(), target.GetSocialAccountId(), position,
			target.GetState(), caption, media, scheduled)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// mediaItem is one of the media as it is stored.
type mediaItem struct {
	URL     string `json:"url"`
	AltText string `json:"alt_text"`
}

func mediaItems(media []*hitchpostv1.Media) []mediaItem {
	items := make([]mediaItem, len(media))
	for i, medium := range media {
		items[i] = mediaItem{URL: medium.GetUrl(), AltText: medium.GetAltText()}
	}
	return items
}
