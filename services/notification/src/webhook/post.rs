use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use uuid::Uuid;

use super::address::{AddressRules, BadTarget, Target};

const USER_AGENT: &str = "Ferrocart-Webhooks/1";
/// An answer is read so far that its connection can be used again; nobody looks at it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One message for one endpoint.
#[derive(Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) target: &'a Target,
    pub(crate) message_id: Uuid,
    pub(crate) timestamp: i64,
    pub(crate) signatures: String,
    pub(crate) body: String,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 2xx.
    Delivered { status: u16 },
    Refused {
        status: u16,
        retry_after: Option<TimeDelta>,
    },
    /// No answer. Fixed words: what the other end says may be anything.
    Failed { reason: &'static str },
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Delivered { status } | Self::Refused { status, .. } => Some(*status),
            Self::Failed { .. } => None,
        }
    }

    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Delivered { .. } => None,
            Self::Refused { status, .. } if (300..400).contains(status) => Some("redirects are not followed"),
            Self::Refused { .. } => Some("it did not answer with 2xx"),
            Self::Failed { reason } => Some(reason),
        }
    }
}

/// Sends messages, to public addresses alone and with an end to everything.
#[derive(Debug, Clone)]
pub(crate) struct PostOffice {
    http: reqwest::Client,
}

impl PostOffice {
    pub(crate) fn new(rules: AddressRules, timeout: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            // It connects to the addresses that it has checked, not to what the name means a moment later.
            .dns_resolver(CheckedNames(rules))
            // A proxy would resolve the name for itself.
            .no_proxy()
            .redirect(Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout / 2)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
            .context("the client of the webhooks")?;
        Ok(Self { http })
    }

    pub(crate) async fn send(&self, parcel: Parcel<'_>) -> Outcome {
        let request = self
            .http
            .post(parcel.target.url().clone())
            .header("content-type", "application/json")
            .header("webhook-id", parcel.message_id.to_string())
            .header("webhook-timestamp", parcel.timestamp.to_string())
            .header("webhook-signature", parcel.signatures)
            .body(parcel.body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Outcome::Failed {
                    reason: in_words(&error),
                };
            }
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds: u32| TimeDelta::seconds(seconds.into()));
        let mut read = 0;
        // The answer's head has decided; a body that breaks off changes nothing.
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        let status_code = status.as_u16();
        if status.is_success() {
            Outcome::Delivered { status: status_code }
        } else {
            Outcome::Refused {
                status: status_code,
                retry_after: matches!(status_code, 429 | 503).then_some(retry_after).flatten(),
            }
        }
    }
}

fn in_words(error: &reqwest::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(inner) = cause {
        match inner.downcast_ref::<BadTarget>() {
            Some(BadTarget::NotPublic) => return "its address is not public",
            Some(_) => return "its host name has no address",
            None => cause = inner.source(),
        }
    }
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection, or no trusted certificate"
    } else {
        "the connection broke before the answer"
    }
}

#[derive(Debug, Clone, Copy)]
struct CheckedNames(AddressRules);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0;
        Box::pin(async move {
            let addresses = rules.resolve(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
