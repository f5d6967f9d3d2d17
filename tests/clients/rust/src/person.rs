//! A person with a browser, as far as the sandbox's pages need one.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Response, Url};
use scraper::{Html, Selector};

/// Somebody who signs in to the sandbox by a handle.
pub struct Person<'a> {
    handle: &'a str,
    browser: Client,
}

impl<'a> Person<'a> {
    pub fn new(handle: &'a str) -> reqwest::Result<Self> {
        // The sandbox is on this machine, where no proxy would find it.
        let browser =
            Client::builder().cookie_store(true).no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { handle, browser })
    }

    /// Follows an auth URL, signs in, approves, and returns the page that the browser ends on.
    pub async fn agree(&self, url: &str) -> anyhow::Result<Response> {
        let sign_in = self.open(url).await?;
        let consent = self.submit(sign_in, &[("handle", self.handle), ("pages", "")]).await?;
        self.submit(consent, &[("decision", "approve")]).await
    }

    /// One page.
    pub async fn open(&self, url: &str) -> reqwest::Result<Response> {
        self.browser.get(url).send().await
    }

    async fn submit(&self, page: Response, typed: &[(&str, &str)]) -> anyhow::Result<Response> {
        let url = page.error_for_status_ref()?.url().clone();
        let (action, mut fields) = last_form(&url, &page.text().await?)?;
        fields.retain(|(name, _)| typed.iter().all(|(other, _)| name != other));
        let typed = typed.iter().map(|&(name, value)| (name.into(), value.into()));
        fields.extend(typed);
        Ok(self.browser.post(action).form(&fields).send().await?)
    }
}

/// Where a page's last form goes, and the fields that it sends as they are.
fn last_form(url: &Url, html: &str) -> anyhow::Result<(Url, Vec<(String, String)>)> {
    let page = Html::parse_document(html);
    let form =
        page.select(&selector("form[action]")).next_back().with_context(|| format!("no form at {url}"))?;
    let action = form.attr("action").unwrap_or_default();
    let fields = form
        .select(&selector("input[name]:not([type=checkbox]:not([checked]))"))
        .map(|input| {
            let value = |name| input.attr(name).unwrap_or_default().to_owned();
            (value("name"), value("value"))
        })
        .collect();
    Ok((url.join(action)?, fields))
}

fn selector(css: &str) -> Selector {
    Selector::parse(css).expect("the selectors here are valid")
}
