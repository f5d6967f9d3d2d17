//! The story of tests/cases/story.yaml in Rust: what a backend does on its first day.
//!
//! Run with HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_WEB_URL, HITCHPOST_CA_FILE, HITCHPOST_KEY and
//! HITCHPOST_STORY set.

mod client;
mod failure;
mod person;
mod story;

/// Made of the proto files by build.rs.
mod proto {
    tonic::include_proto!("hitchpost.v1");
}

use std::{env, fs};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use tonic::Status;

use crate::story::Story;

#[derive(Deserialize)]
struct Chapter {
    step: String,
    want: Map<String, Value>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let chapters: Vec<Chapter> = serde_saphyr::from_str(&fs::read_to_string(setting("HITCHPOST_STORY")?)?)?;
    let mut story = Story::new()?;
    for Chapter { step, want } in chapters {
        let seen = match story.play(&step).await {
            Ok(mut seen) => {
                seen["code"] = "OK".into();
                seen
            }
            Err(error) => {
                let status = error.downcast::<Status>();
                failure::failure(&status.with_context(|| format!("step {step}"))?)
            }
        };
        let right = want.iter().all(|(name, value)| seen.get(name) == Some(value));
        ensure!(right, "step {step}: saw {seen}, wanted {}", Value::from(want));
        println!("step {step} ok");
    }
    Ok(())
}

/// A setting from the environment.
fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
