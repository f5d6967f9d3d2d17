package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	hitchpostv1 "example.com/hitchpost/story/gen/hitchpost/v1"
)

// seen is what a step saw, by the names that the story uses.
type seen map[string]any

// step is one step of the story; its context has a deadline and the API key.
type step func(context.Context) (seen, error)

// story is one client of one server, the names of this run, and what earlier steps found.
type story struct {
	accounts hitchpostv1.SocialAccountServiceClient
	posts    hitchpostv1.SocialPostServiceClient
	health   grpc_health_v1.HealthClient

	owner, other, third    string
	handle, tag, requestID string
	authURL                string
	fourth, code           string
	account                *hitchpostv1.SocialAccount
}

func newStory(conn *grpc.ClientConn) *story {
	run := strings.ToLower(rand.Text()[:8])
	return &story{
		accounts:  hitchpostv1.NewSocialAccountServiceClient(conn),
		posts:     hitchpostv1.NewSocialPostServiceClient(conn),
		health:    grpc_health_v1.NewHealthClient(conn),
		owner:     "owner-" + run,
		other:     "other-" + run,
		third:     "third-" + run,
		handle:    "person." + run,
		tag:       "tag-" + run,
		requestID: "request-" + run,
		fourth:    "fourth-" + run,
	}
}

func (s *story) steps() map[string]step {
	return map[string]step{
		"auth_url":              s.createAuthURL,
		"browser":               s.openBrowser,
		"list_by_external_id":   s.listByExternalID,
		"hijack_refused":        s.tryToHijack,
		"confirmation_required": s.comeBackForConfirmation,
		"confirmed":             s.confirm,
		"confirmed_once":        s.confirm,
		"wrong_person":          s.confirmForAnother,
		"wrong_fields":          s.importWrongFields,
		"idempotent_retry":      s.createPostTwice,
		"request_id_reused":     s.reuseRequestID,
		"paging":                s.listInPages,
		"post_found_by_tag":     s.findPostByTag,
		"owner_scope":           s.getOutsideScope,
		"no_key":                s.callWithoutKey,
		"deadline":              s.missDeadline,
		"cancellation":          s.cancelCall,
		"health":                s.checkHealth,
		"tls":                   s.callOverTLS,
		"tls_without_ca":        s.callOverTLSWithoutCA,
		"published":             s.publish,
	}
}

// play gives what a step saw: of a failed call its status, and otherwise code OK.
func (s *story) play(step step) (seen, error) {
	ctx, cancel := context.WithTimeout(withKey(context.Background()), time.Minute)
	defer cancel()
	saw, err := step(ctx)
	if err != nil {
		if failed, ok := status.FromError(err); ok {
			return failure(failed), nil
		}
		return nil, err
	}
	if saw == nil {
		saw = seen{}
	}
	saw["code"] = "OK"
	return saw, nil
}

func (s *story) createAuthURL(ctx context.Context) (seen, error) {
	response, err := s.accounts.CreateAuthUrl(ctx, &hitchpostv1.CreateAuthUrlRequest{
		Platform:   hitchpostv1.Platform_PLATFORM_SANDBOX,
		ExternalId: proto.String(s.owner),
	})
	s.authURL = response.GetUrl()
	return nil, err
}

func (s *story) openBrowser(ctx context.Context) (seen, error) {
	person, err := newPerson(s.handle)
	if err != nil {
		return nil, err
	}
	page, err := person.agree(ctx, s.authURL)
	if err != nil {
		return nil, err
	}
	return seen{"http_status": page.StatusCode}, nil
}

func (s *story) listByExternalID(ctx context.Context) (seen, error) {
	response, err := s.accounts.ListSocialAccounts(ctx, &hitchpostv1.ListSocialAccountsRequest{
		ExternalIds: []string{s.owner},
	})
	if err != nil {
		return nil, err
	}
	found := response.GetSocialAccounts()
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no account", s.owner)
	}
	s.account = found[0]
	if username := s.account.GetUsername(); username != s.handle {
		return nil, fmt.Errorf("the account's username is %q, not %q", username, s.handle)
	}
	return seen{"accounts": len(found)}, nil
}

func (s *story) tryToHijack(ctx context.Context) (seen, error) {
	return nil, s.importAccount(ctx, s.account.GetPlatformUserId(), s.other)
}

func (s *story) comeBackForConfirmation(ctx context.Context) (seen, error) {
	query, err := s.broughtBack(ctx)
	if err != nil {
		return nil, err
	}
	s.code = query.Get("confirmation_code")
	response, err := s.accounts.ListSocialAccounts(ctx, &hitchpostv1.ListSocialAccountsRequest{
		ExternalIds: []string{s.fourth},
	})
	return seen{"status": query.Get("status"), "accounts": len(response.GetSocialAccounts())}, err
}

func (s *story) confirm(ctx context.Context) (seen, error) {
	return s.confirmFor(ctx, s.code, s.fourth)
}

func (s *story) confirmForAnother(ctx context.Context) (seen, error) {
	query, err := s.broughtBack(ctx)
	if err != nil {
		return nil, err
	}
	return s.confirmFor(ctx, query.Get("confirmation_code"), s.other)
}

func (s *story) importWrongFields(ctx context.Context) (seen, error) {
	_, err := s.accounts.ImportSocialAccount(ctx, &hitchpostv1.ImportSocialAccountRequest{
		Platform:   hitchpostv1.Platform_PLATFORM_SANDBOX,
		ExternalId: proto.String(""),
		Scopes:     slices.Repeat([]string{"s"}, 51),
	})
	return nil, err
}

func (s *story) createPostTwice(ctx context.Context) (seen, error) {
	first, err := s.createPost(ctx, "hello")
	if err != nil {
		return nil, err
	}
	second, err := s.createPost(ctx, "hello")
	if err != nil {
		return nil, err
	}
	if !proto.Equal(first, second) {
		return nil, errors.New("the second answer is not the first")
	}
	return s.countPosts(ctx, s.requestID)
}

func (s *story) reuseRequestID(ctx context.Context) (seen, error) {
	_, err := s.createPost(ctx, "something else")
	return nil, err
}

func (s *story) listInPages(ctx context.Context) (seen, error) {
	for number := range 5 {
		if err := s.importAccount(ctx, fmt.Sprintf("%s-%d", s.third, number), s.third); err != nil {
			return nil, err
		}
	}
	request := &hitchpostv1.ListSocialAccountsRequest{ExternalIds: []string{s.third}, PageSize: 2}
	ids := map[string]bool{}
	for pages := 1; ; pages++ {
		page, err := s.accounts.ListSocialAccounts(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, account := range page.GetSocialAccounts() {
			ids[account.GetId()] = true
		}
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" {
			return seen{"pages": pages, "accounts": len(ids)}, nil
		}
	}
}

func (s *story) findPostByTag(ctx context.Context) (seen, error) {
	_, err := s.posts.CreateSocialPost(ctx, &hitchpostv1.CreateSocialPostRequest{
		SocialPost: &hitchpostv1.SocialPost{
			ExternalId:       proto.String(s.tag),
			Caption:          "hello",
			SocialAccountIds: []string{s.account.GetId()},
			ScheduledTime:    timestamppb.New(time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)),
		},
		RequestId: rand.Text(),
	})
	if err != nil {
		return nil, err
	}
	return s.countPosts(ctx, s.tag)
}

func (s *story) getOutsideScope(ctx context.Context) (seen, error) {
	confined := metadata.AppendToOutgoingContext(ctx, "x-external-id", s.other)
	_, err := s.accounts.GetSocialAccount(confined, &hitchpostv1.GetSocialAccountRequest{
		SocialAccountId: s.account.GetId(),
	})
	return nil, err
}

func (s *story) callWithoutKey(ctx context.Context) (seen, error) {
	return nil, s.listAny(metadata.NewOutgoingContext(ctx, metadata.MD{}))
}

func (s *story) missDeadline(ctx context.Context) (seen, error) {
	ctx, cancel := context.WithTimeout(ctx, -time.Second)
	defer cancel()
	return nil, s.listAny(ctx)
}

func (s *story) cancelCall(ctx context.Context) (seen, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, err := s.health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return nil, err
	}
	if _, err := answers.Recv(); err != nil {
		return nil, err
	}
	cancel()
	_, err = answers.Recv()
	return nil, err
}

func (s *story) checkHealth(ctx context.Context) (seen, error) {
	response, err := s.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{
		Service: hitchpostv1.SocialAccountService_ServiceDesc.ServiceName,
	})
	return seen{"status": response.GetStatus().String()}, err
}

func (s *story) callOverTLS(ctx context.Context) (seen, error) {
	creds, err := credentials.NewClientTLSFromFile(os.Getenv("HITCHPOST_CA_FILE"), "")
	if err != nil {
		return nil, err
	}
	return nil, listAnyOverTLS(ctx, creds)
}

func (s *story) callOverTLSWithoutCA(ctx context.Context) (seen, error) {
	return nil, listAnyOverTLS(ctx, credentials.NewTLS(&tls.Config{}))
}

func (s *story) publish(ctx context.Context) (seen, error) {
	response, err := s.posts.CreateSocialPost(ctx, &hitchpostv1.CreateSocialPostRequest{
		SocialPost: &hitchpostv1.SocialPost{
			Caption: "Good morning!",
			Media: []*hitchpostv1.Media{{
				Url:     os.Getenv("HITCHPOST_WEB_URL") + "/sandbox/pictures/sunrise.png",
				AltText: "A sunrise",
			}},
			SocialAccountIds: []string{s.account.GetId()},
			ScheduledTime:    timestamppb.New(time.Now().Add(2 * time.Second)),
		},
		RequestId: rand.Text(),
	})
	if err != nil {
		return nil, err
	}
	post := response.GetSocialPost()
	// The step's deadline ends it.
	for post.GetState() != hitchpostv1.SocialPostState_SOCIAL_POST_STATE_PUBLISHED {
		time.Sleep(200 * time.Millisecond)
		found, err := s.posts.GetSocialPost(ctx, &hitchpostv1.GetSocialPostRequest{SocialPostId: post.GetId()})
		if err != nil {
			return nil, err
		}
		post = found.GetSocialPost()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, post.GetTargets()[0].GetPlatformPostUrl(), nil)
	if err != nil {
		return nil, err
	}
	page, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	return seen{"state": post.GetState().String(), "http_status": page.StatusCode}, page.Body.Close()
}

func listAnyOverTLS(ctx context.Context, creds credentials.TransportCredentials) error {
	conn, err := connect(os.Getenv("HITCHPOST_TLS_ADDRESS"), creds)
	if err != nil {
		return err
	}
	defer conn.Close()
	return newStory(conn).listAny(ctx)
}

func (s *story) listAny(ctx context.Context) error {
	_, err := s.accounts.ListSocialAccounts(ctx, &hitchpostv1.ListSocialAccountsRequest{PageSize: 1})
	return err
}

// broughtBack is the query with which a browser comes to the redirect_url of an attempt.
func (s *story) broughtBack(ctx context.Context) (url.Values, error) {
	response, err := s.accounts.CreateAuthUrl(ctx, &hitchpostv1.CreateAuthUrlRequest{
		Platform:            hitchpostv1.Platform_PLATFORM_SANDBOX,
		ExternalId:          proto.String(s.fourth),
		RedirectUrl:         os.Getenv("HITCHPOST_WEB_URL") + "/",
		RequireConfirmation: true,
	})
	if err != nil {
		return nil, err
	}
	person, err := newPerson(s.handle + ".4")
	if err != nil {
		return nil, err
	}
	page, err := person.agree(ctx, response.GetUrl())
	if err != nil {
		return nil, err
	}
	return page.Request.URL.Query(), nil
}

func (s *story) confirmFor(ctx context.Context, code, owner string) (seen, error) {
	response, err := s.accounts.ConfirmAuth(ctx, &hitchpostv1.ConfirmAuthRequest{
		ConfirmationCode: code,
		ExternalId:       proto.String(owner),
	})
	return seen{"accounts": len(response.GetConnectedAccounts())}, err
}

func (s *story) importAccount(ctx context.Context, platformUserID, owner string) error {
	_, err := s.accounts.ImportSocialAccount(ctx, &hitchpostv1.ImportSocialAccountRequest{
		Platform:       hitchpostv1.Platform_PLATFORM_SANDBOX,
		PlatformUserId: platformUserID,
		ExternalId:     proto.String(owner),
		AccessToken:    "example",
		RequestId:      rand.Text(),
	})
	return err
}

func (s *story) createPost(ctx context.Context, caption string) (*hitchpostv1.CreateSocialPostResponse, error) {
	return s.posts.CreateSocialPost(ctx, &hitchpostv1.CreateSocialPostRequest{
		SocialPost: &hitchpostv1.SocialPost{
			ExternalId:       proto.String(s.requestID),
			Caption:          caption,
			SocialAccountIds: []string{s.account.GetId()},
		},
		RequestId: s.requestID,
	})
}

func (s *story) countPosts(ctx context.Context, tag string) (seen, error) {
	response, err := s.posts.ListSocialPosts(ctx, &hitchpostv1.ListSocialPostsRequest{ExternalIds: []string{tag}})
	return seen{"posts": len(response.GetSocialPosts())}, err
}
