//! What the status of a failed call says.

use std::error::Error;
use std::iter::successors;

use serde_json::{Value, json};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// The code, and from the google.rpc details the reason, metadata and fields.
pub fn failure(status: &Status) -> Value {
    let mut seen = json!({"code": name(code(status))});
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        let reason = info.reason.as_str();
        seen["reason"] = reason.strip_prefix("ERROR_REASON_").unwrap_or(reason).into();
        seen["metadata"] = json!(info.metadata);
    }
    if let Some(request) = details.bad_request() {
        let violations = request.field_violations.iter();
        seen["fields"] = violations.map(|violation| violation.field.as_str()).collect();
    }
    seen
}

/// The code as gRPC has it: tonic calls it CANCELLED when its own clock ends a call before the server does.
fn code(status: &Status) -> Code {
    let mut causes = successors(status.source(), |&error| error.source());
    if causes.any(|error| error.is::<TimeoutExpired>()) { Code::DeadlineExceeded } else { status.code() }
}

/// `AlreadyExists` as `ALREADY_EXISTS`, since tonic has Rust's names only.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
