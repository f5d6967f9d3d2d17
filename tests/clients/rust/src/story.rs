//! The steps of the story.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tonic::Status;
use tonic::transport::{Certificate, Channel};
use tonic_health::pb::HealthCheckRequest;
use uuid::Uuid;

use crate::client::{self, Caller, Hitchpost};
use crate::person::Person;
use crate::proto::{
    ConfirmAuthRequest, CreateAuthUrlRequest, CreateSocialPostRequest, CreateSocialPostResponse,
    GetSocialAccountRequest, GetSocialPostRequest, ImportSocialAccountRequest, ListSocialAccountsRequest,
    ListSocialPostsRequest, Media, Platform, SocialAccount, SocialPost, SocialPostState,
};
use crate::setting;

/// One client of one server. The steps share a run's names, and what an earlier step found.
pub struct Story {
    channel: Channel,
    caller: Caller,
    hitchpost: Hitchpost,
    owner: String,
    other: String,
    third: String,
    handle: String,
    tag: String,
    request_id: String,
    fourth: String,
    code: String,
    url: String,
    account: SocialAccount,
}

impl Story {
    pub fn new() -> anyhow::Result<Self> {
        let channel = client::channel(&setting("HITCHPOST_ADDRESS")?)?;
        let caller = Caller::new(setting("HITCHPOST_KEY")?);
        let run = &Uuid::new_v4().simple().to_string()[..8];
        Ok(Self {
            hitchpost: Hitchpost::new(channel.clone(), caller.clone()),
            channel,
            caller,
            owner: format!("owner-{run}"),
            other: format!("other-{run}"),
            third: format!("third-{run}"),
            handle: format!("person.{run}"),
            tag: format!("tag-{run}"),
            request_id: format!("request-{run}"),
            fourth: format!("fourth-{run}"),
            code: String::new(),
            url: String::new(),
            account: SocialAccount::default(),
        })
    }

    /// Plays a step and returns what it saw; the error of a call is a `Status`.
    pub async fn play(&mut self, step: &str) -> anyhow::Result<Value> {
        match step {
            "auth_url" => self.auth_url().await,
            "browser" => self.browser().await,
            "list_by_external_id" => self.list_by_external_id().await,
            "hijack_refused" => self.hijack_refused().await,
            "confirmation_required" => self.confirmation_required().await,
            "confirmed" | "confirmed_once" => self.confirm(&self.code, &self.fourth).await,
            "wrong_person" => self.wrong_person().await,
            "wrong_fields" => self.wrong_fields().await,
            "idempotent_retry" => self.idempotent_retry().await,
            "request_id_reused" => self.request_id_reused().await,
            "paging" => self.paging().await,
            "post_found_by_tag" => self.post_found_by_tag().await,
            "owner_scope" => self.owner_scope().await,
            "no_key" => self.no_key().await,
            "deadline" => self.deadline().await,
            "cancellation" => self.cancellation().await,
            "health" => self.health().await,
            "tls" => self.tls().await,
            "tls_without_ca" => self.tls_without_ca().await,
            "published" => self.published().await,
            _ => bail!("no such step"),
        }
    }

    async fn auth_url(&mut self) -> anyhow::Result<Value> {
        let request = CreateAuthUrlRequest {
            platform: Platform::Sandbox.into(),
            external_id: Some(self.owner.clone()),
            ..Default::default()
        };
        self.url = self.hitchpost.create_auth_url(&request).await?.url;
        Ok(json!({}))
    }

    async fn browser(&self) -> anyhow::Result<Value> {
        let page = Person::new(&self.handle)?.agree(&self.url).await?;
        Ok(json!({"http_status": page.status().as_u16()}))
    }

    async fn list_by_external_id(&mut self) -> anyhow::Result<Value> {
        let request =
            ListSocialAccountsRequest { external_ids: vec![self.owner.clone()], ..Default::default() };
        let accounts = self.hitchpost.list_accounts(&request).await?.social_accounts;
        self.account = accounts.first().context("no account")?.clone();
        ensure!(self.account.username == self.handle);
        Ok(json!({"accounts": accounts.len()}))
    }

    async fn hijack_refused(&self) -> anyhow::Result<Value> {
        self.import(&self.account.platform_user_id, &self.other).await?;
        Ok(json!({}))
    }

    async fn confirmation_required(&mut self) -> anyhow::Result<Value> {
        let brought = self.brought_back().await?;
        self.code = brought["confirmation_code"].clone();
        let request =
            ListSocialAccountsRequest { external_ids: vec![self.fourth.clone()], ..Default::default() };
        let accounts = self.hitchpost.list_accounts(&request).await?.social_accounts;
        Ok(json!({"status": brought["status"], "accounts": accounts.len()}))
    }

    async fn wrong_person(&self) -> anyhow::Result<Value> {
        let brought = self.brought_back().await?;
        self.confirm(&brought["confirmation_code"], &self.other).await
    }

    async fn wrong_fields(&self) -> anyhow::Result<Value> {
        let request = ImportSocialAccountRequest {
            platform: Platform::Sandbox.into(),
            external_id: Some(String::new()),
            scopes: vec!["s".into(); 51],
            ..Default::default()
        };
        self.hitchpost.import_account(&request).await?;
        Ok(json!({}))
    }

    async fn idempotent_retry(&self) -> anyhow::Result<Value> {
        let first = self.post("hello").await?;
        let second = self.post("hello").await?;
        ensure!(first == second);
        Ok(json!({"posts": self.posts_tagged(&self.request_id).await?}))
    }

    async fn request_id_reused(&self) -> anyhow::Result<Value> {
        self.post("something else").await?;
        Ok(json!({}))
    }

    async fn paging(&self) -> anyhow::Result<Value> {
        for number in 0..5 {
            let platform_user_id = format!("{}-{number}", self.third);
            self.import(&platform_user_id, &self.third).await?;
        }
        let mut request = ListSocialAccountsRequest {
            external_ids: vec![self.third.clone()],
            page_size: 2,
            ..Default::default()
        };
        let mut pages = 0;
        let mut ids = HashSet::new();
        loop {
            let page = self.hitchpost.list_accounts(&request).await?;
            pages += 1;
            ids.extend(page.social_accounts.into_iter().map(|account| account.id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok(json!({"pages": pages, "accounts": ids.len()}));
            }
        }
    }

    async fn post_found_by_tag(&self) -> anyhow::Result<Value> {
        let post = SocialPost {
            external_id: Some(self.tag.clone()),
            caption: "hello".into(),
            social_account_ids: vec![self.account.id.clone()],
            scheduled_time: Some("2100-01-01T00:00:00Z".parse()?),
            ..Default::default()
        };
        let request =
            CreateSocialPostRequest { social_post: Some(post), request_id: Uuid::new_v4().to_string() };
        self.hitchpost.create_post(&request).await?;
        Ok(json!({"posts": self.posts_tagged(&self.tag).await?}))
    }

    async fn owner_scope(&self) -> anyhow::Result<Value> {
        let confined =
            self.hitchpost_of(Caller { external_id: Some(self.other.clone()), ..self.caller.clone() });
        let request = GetSocialAccountRequest { social_account_id: self.account.id.clone() };
        confined.get_account(&request).await?;
        Ok(json!({}))
    }

    async fn no_key(&self) -> anyhow::Result<Value> {
        let nobody = self.hitchpost_of(Caller { key: None, ..self.caller.clone() });
        nobody.list_accounts(&Default::default()).await?;
        Ok(json!({}))
    }

    async fn deadline(&self) -> anyhow::Result<Value> {
        let hasty = self.hitchpost_of(Caller { timeout: Duration::ZERO, ..self.caller.clone() });
        hasty.list_accounts(&Default::default()).await?;
        Ok(json!({}))
    }

    // A call is cancelled by dropping it, or aborting its task: nobody is left to be given a status.
    async fn cancellation(&mut self) -> anyhow::Result<Value> {
        let mut answers = self.hitchpost.health.watch(HealthCheckRequest::default()).await?.into_inner();
        answers.message().await?.context("no first answer")?;
        let call = tokio::spawn(async move { answers.message().await });
        tokio::task::yield_now().await;
        call.abort();
        match call.await {
            Err(error) if error.is_cancelled() => Err(Status::cancelled("by the caller").into()),
            ended => bail!("the call was not cancelled: {ended:?}"),
        }
    }

    async fn health(&mut self) -> anyhow::Result<Value> {
        let request = HealthCheckRequest { service: "hitchpost.v1.SocialAccountService".into() };
        let answer = self.hitchpost.health.check(request).await?;
        Ok(json!({"status": answer.into_inner().status().as_str_name()}))
    }

    async fn tls(&self) -> anyhow::Result<Value> {
        let ca = Certificate::from_pem(fs::read(setting("HITCHPOST_CA_FILE")?)?);
        self.list_over_tls(Some(ca)).await
    }

    async fn tls_without_ca(&self) -> anyhow::Result<Value> {
        self.list_over_tls(None).await
    }

    async fn published(&self) -> anyhow::Result<Value> {
        let url = format!("{}/sandbox/pictures/sunrise.png", setting("HITCHPOST_WEB_URL")?);
        let post = SocialPost {
            caption: "Good morning!".into(),
            media: vec![Media { url, alt_text: "A sunrise".into() }],
            social_account_ids: vec![self.account.id.clone()],
            scheduled_time: Some((SystemTime::now() + Duration::from_secs(2)).into()),
            ..Default::default()
        };
        let request =
            CreateSocialPostRequest { social_post: Some(post), request_id: Uuid::new_v4().to_string() };
        let mut post = self.hitchpost.create_post(&request).await?.social_post.context("no post")?;
        let request = GetSocialPostRequest { social_post_id: post.id.clone() };
        for _ in 0..300 {
            if post.state() == SocialPostState::Published {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            post = self.hitchpost.get_post(&request).await?.social_post.context("no post")?;
        }
        let target = post.targets.first().context("no target")?;
        let page = Person::new(&self.handle)?.open(&target.platform_post_url).await?;
        Ok(json!({"state": post.state().as_str_name(), "http_status": page.status().as_u16()}))
    }

    async fn list_over_tls(&self, ca: Option<Certificate>) -> anyhow::Result<Value> {
        let channel = client::tls_channel(&setting("HITCHPOST_TLS_ADDRESS")?, ca)?;
        let hitchpost = Hitchpost::new(channel, self.caller.clone());
        let request = ListSocialAccountsRequest { page_size: 1, ..Default::default() };
        hitchpost.list_accounts(&request).await?;
        Ok(json!({}))
    }

    /// The same server for another caller.
    fn hitchpost_of(&self, caller: Caller) -> Hitchpost {
        Hitchpost::new(self.channel.clone(), caller)
    }

    /// What a browser brings to the redirect_url of an attempt.
    async fn brought_back(&self) -> anyhow::Result<HashMap<String, String>> {
        let request = CreateAuthUrlRequest {
            platform: Platform::Sandbox.into(),
            external_id: Some(self.fourth.clone()),
            redirect_url: format!("{}/", setting("HITCHPOST_WEB_URL")?),
            require_confirmation: true,
            ..Default::default()
        };
        let url = self.hitchpost.create_auth_url(&request).await?.url;
        let page = Person::new(&format!("{}.4", self.handle))?.agree(&url).await?;
        Ok(page.url().query_pairs().into_owned().collect())
    }

    async fn confirm(&self, code: &str, owner: &str) -> anyhow::Result<Value> {
        let request = ConfirmAuthRequest { confirmation_code: code.into(), external_id: Some(owner.into()) };
        let answer = self.hitchpost.accounts.clone().confirm_auth(request).await?.into_inner();
        Ok(json!({"accounts": answer.connected_accounts.len()}))
    }

    async fn import(&self, platform_user_id: &str, owner: &str) -> Result<(), Status> {
        let request = ImportSocialAccountRequest {
            platform: Platform::Sandbox.into(),
            platform_user_id: platform_user_id.into(),
            external_id: Some(owner.into()),
            access_token: "example".into(),
            request_id: Uuid::new_v4().to_string(),
            ..Default::default()
        };
        self.hitchpost.import_account(&request).await?;
        Ok(())
    }

    async fn post(&self, caption: &str) -> Result<CreateSocialPostResponse, Status> {
        let post = SocialPost {
            external_id: Some(self.request_id.clone()),
            caption: caption.into(),
            social_account_ids: vec![self.account.id.clone()],
            ..Default::default()
        };
        let request =
            CreateSocialPostRequest { social_post: Some(post), request_id: self.request_id.clone() };
        self.hitchpost.create_post(&request).await
    }

    async fn posts_tagged(&self, tag: &str) -> Result<usize, Status> {
        let request = ListSocialPostsRequest { external_ids: vec![tag.into()], ..Default::default() };
        Ok(self.hitchpost.list_posts(&request).await?.social_posts.len())
    }
}
