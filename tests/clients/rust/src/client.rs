//! A channel to Hitchpost, what every call sends along, and which calls are repeated.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;

use crate::proto::social_account_service_client::SocialAccountServiceClient;
use crate::proto::social_post_service_client::SocialPostServiceClient;
use crate::proto::{
    CreateAuthUrlRequest, CreateAuthUrlResponse, CreateSocialPostRequest, CreateSocialPostResponse,
    GetSocialAccountRequest, GetSocialAccountResponse, GetSocialPostRequest, GetSocialPostResponse,
    ImportSocialAccountRequest, ImportSocialAccountResponse, ListSocialAccountsRequest,
    ListSocialAccountsResponse, ListSocialPostsRequest, ListSocialPostsResponse,
};

/// The pauses before the second, third and fourth attempt.
const BACKOFF: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// Who calls, for whom, and how long the answer may take: an interceptor that says so in metadata.
#[derive(Clone)]
pub struct Caller {
    pub key: Option<String>,
    pub external_id: Option<String>,
    pub timeout: Duration,
}

impl Caller {
    pub fn new(key: String) -> Self {
        Self { key: Some(key), external_id: None, timeout: Duration::from_secs(10) }
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(self.timeout);
        let authorization = self.key.as_ref().map(|key| format!("Bearer {key}"));
        for (name, value) in [("authorization", &authorization), ("x-external-id", &self.external_id)] {
            if let Some(value) = value {
                let value = MetadataValue::try_from(value)
                    .map_err(|_| Status::invalid_argument(format!("{name} is not ASCII")))?;
                request.metadata_mut().insert(name, value);
            }
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Caller>;

/// What one caller may call. Making one is cheap: the channel is shared.
pub struct Hitchpost {
    pub accounts: SocialAccountServiceClient<Service>,
    pub posts: SocialPostServiceClient<Service>,
    pub health: HealthClient<Service>,
}

impl Hitchpost {
    pub fn new(channel: Channel, caller: Caller) -> Self {
        let service = InterceptedService::new(channel, caller);
        Self {
            accounts: SocialAccountServiceClient::new(service.clone()),
            posts: SocialPostServiceClient::new(service.clone()),
            health: HealthClient::new(service),
        }
    }

    pub async fn create_auth_url(
        &self,
        request: &CreateAuthUrlRequest,
    ) -> Result<CreateAuthUrlResponse, Status> {
        retrying(async || self.accounts.clone().create_auth_url(request.clone()).await).await
    }

    pub async fn import_account(
        &self,
        request: &ImportSocialAccountRequest,
    ) -> Result<ImportSocialAccountResponse, Status> {
        retrying(async || self.accounts.clone().import_social_account(request.clone()).await).await
    }

    pub async fn get_account(
        &self,
        request: &GetSocialAccountRequest,
    ) -> Result<GetSocialAccountResponse, Status> {
        retrying(async || self.accounts.clone().get_social_account(request.clone()).await).await
    }

    pub async fn list_accounts(
        &self,
        request: &ListSocialAccountsRequest,
    ) -> Result<ListSocialAccountsResponse, Status> {
        retrying(async || self.accounts.clone().list_social_accounts(request.clone()).await).await
    }

    pub async fn create_post(
        &self,
        request: &CreateSocialPostRequest,
    ) -> Result<CreateSocialPostResponse, Status> {
        retrying(async || self.posts.clone().create_social_post(request.clone()).await).await
    }

    pub async fn get_post(&self, request: &GetSocialPostRequest) -> Result<GetSocialPostResponse, Status> {
        retrying(async || self.posts.clone().get_social_post(request.clone()).await).await
    }

    pub async fn list_posts(
        &self,
        request: &ListSocialPostsRequest,
    ) -> Result<ListSocialPostsResponse, Status> {
        retrying(async || self.posts.clone().list_social_posts(request.clone()).await).await
    }
}

/// A channel in the clear, which connects with the first call.
pub fn channel(address: &str) -> anyhow::Result<Channel> {
    Ok(Channel::from_shared(format!("http://{address}"))?.connect_lazy())
}

/// The same over TLS, trusting the public authorities and `ca`.
pub fn tls_channel(address: &str, ca: Option<Certificate>) -> anyhow::Result<Channel> {
    let tls = ClientTlsConfig::new().with_enabled_roots().ca_certificates(ca);
    let endpoint = Channel::from_shared(format!("https://{address}"))?.tls_config(tls)?;
    Ok(endpoint.connect_lazy())
}

/// Repeats a call while the service is unavailable; only for calls that may well happen twice: they read,
/// carry a request_id, or make an auth URL.
///
/// tonic knows no service config, and so has no retries of its own. Each attempt has the whole timeout.
async fn retrying<T>(call: impl AsyncFn() -> Result<Response<T>, Status>) -> Result<T, Status> {
    for pause in BACKOFF {
        match call().await {
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(pause).await,
            answer => return answer.map(Response::into_inner),
        }
    }
    call().await.map(Response::into_inner)
}
