use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use ferrocart_config::{ConfigError, ExposeSecret, SecretString};
use ferrocart_types::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

use super::SmsProvider;
use crate::config::SmsSettings;
use crate::domain::{Phone, Refusal, SendError};

/// A list of messages is read as far as this, an error further than any is long.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// The newest messages to one number that are looked through for one of ours.
const LOOKED_THROUGH: &str = "50";
/// How far the provider's clock may be behind ours.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(60);

/// Twilio's Messages API (`2010-04-01`), which other providers speak as well.
pub(crate) struct Twilio {
    http: reqwest::Client,
    messages: Url,
    account_sid: String,
    auth_token: SecretString,
    /// The name and the value of the field that says who sends.
    sender: (&'static str, String),
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    code: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct MessageList {
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    body: Option<String>,
    to: Option<String>,
    /// As RFC 2822 writes it.
    date_created: Option<String>,
}

impl Twilio {
    pub(crate) fn new(settings: &SmsSettings, auth_token: &SecretString) -> Result<Self, ConfigError> {
        let (sid, from) = (settings.account_sid.as_str(), settings.from.as_str());
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain(sid) {
            return Err(ConfigError::rejected(
                "sms.account_sid",
                "sms.url is set: the account's SID is needed",
            ));
        }
        if from.is_empty() || auth_token.expose_secret().is_empty() {
            return Err(ConfigError::rejected(
                "sms.from, sms_auth_token",
                "sms.url is set: they are needed",
            ));
        }
        let messages = messages_url(&settings.url, sid).ok_or_else(|| {
            ConfigError::rejected(
                "sms.url",
                "an https URL is expected, such as https://api.twilio.com",
            )
        })?;
        let timeout = Duration::from_millis(settings.timeout_ms);
        let http = reqwest::Client::builder()
            .no_proxy()
            // The password is for this address alone.
            .redirect(Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout / 2)
            .build()
            .map_err(|error| ConfigError::rejected("sms.url", format!("no client: {error}")))?;
        let by_service = from.len() == 34 && from.starts_with("MG");
        let field = if by_service { "MessagingServiceSid" } else { "From" };
        Ok(Self {
            http,
            messages,
            account_sid: sid.to_owned(),
            auth_token: auth_token.clone(),
            sender: (field, from.to_owned()),
        })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let request = request.basic_auth(&self.account_sid, Some(self.auth_token.expose_secret()));
        // The client's own words would repeat the URL, and that the number.
        request.send().await.map_err(|error| {
            let reason = if error.is_timeout() {
                "the SMS provider did not answer in time"
            } else if error.is_connect() {
                "no connection to the SMS provider"
            } else {
                "the connection to the SMS provider broke"
            };
            SendError::new(Refusal::Unavailable, reason)
        })
    }
}

/// The password goes there: in the clear to this machine at most.
fn messages_url(base: &str, sid: &str) -> Option<Url> {
    let base = Url::parse(base).ok()?;
    let here = match base.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => IpAddr::V4(address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(address).is_loopback(),
    };
    let plain = base.query().is_none() && base.fragment().is_none() && base.username().is_empty();
    let allowed = base.scheme() == "https" || (base.scheme() == "http" && here);
    if !plain || !allowed {
        return None;
    }
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}/2010-04-01/Accounts/{sid}/Messages.json")).ok()
}

#[async_trait]
impl SmsProvider for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    async fn send(&self, to: &Phone, text: &str) -> Result<(), SendError> {
        let (field, sender) = &self.sender;
        let form = [("To", to.as_str()), (field, sender), ("Body", text)];
        let response = self
            .ask(self.http.post(self.messages.clone()).form(&form))
            .await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = bytes(response).await.unwrap_or_default();
        let told: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        Err(refused(status, told.code))
    }

    async fn has_taken(&self, to: &Phone, text: &str, since: Timestamp) -> Result<bool, SendError> {
        let query = [("To", to.as_str()), ("PageSize", LOOKED_THROUGH)];
        let response = self
            .ask(self.http.get(self.messages.clone()).query(&query))
            .await?;
        let status = response.status();
        let unreadable = || {
            SendError::new(
                Refusal::Unavailable,
                format!("the SMS provider's list of messages could not be read ({status})"),
            )
        };
        if !status.is_success() {
            // Whatever it is about, it is not about this message.
            return Err(unreadable());
        }
        let body = bytes(response).await.ok_or_else(unreadable)?;
        let list: MessageList = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let ours = |message: &Message| {
            let created = message.date_created.as_deref().map(DateTime::parse_from_rfc2822);
            // A date that cannot be read is no reason to send twice.
            let new = created.is_none_or(|at| at.map_or(true, |at| at >= since - CLOCKS_APART));
            new && message.to.as_deref() == Some(to.as_str())
                && message.body.as_deref().map(str::trim) == Some(text.trim())
        };
        Ok(list.messages.iter().any(ours))
    }
}

/// The body, `None` when it breaks off or has no end.
async fn bytes(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn refused(status: StatusCode, code: Option<u32>) -> SendError {
    let refusal = match status.as_u16() {
        // About the account, the road or the load: were these counted, a password that was changed would cost every
        // message of the day.
        300..=399 | 401 | 403 | 404 | 408 | 425 | 429 | 502 | 503 | 504 => Refusal::Unavailable,
        // It may be this message that it fails of.
        500..=599 => Refusal::Temporary,
        _ => Refusal::Permanent,
    };
    let code = code.map_or_else(String::new, |code| format!(" (error {code})"));
    SendError::new(
        refusal,
        format!("the SMS provider answered {}{code}", status.as_u16()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_goes_nowhere_in_the_clear_but_to_this_machine() {
        let url = |base| messages_url(base, "AC1").map(String::from);
        let of = |base: &str| Some(format!("{base}/2010-04-01/Accounts/AC1/Messages.json"));
        assert_eq!(url("https://api.twilio.com"), of("https://api.twilio.com"));
        assert_eq!(url("https://sms.test/base/"), of("https://sms.test/base"));
        assert_eq!(url("http://127.0.0.1:4010"), of("http://127.0.0.1:4010"));
        for bad in [
            "http://api.twilio.com",
            "ftp://127.0.0.1",
            "https://user:secret@api.twilio.com",
            "https://api.twilio.com?x=1",
            "api.twilio.com",
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_about_the_message_is_no_refusal_of_it() {
        let of = |status| refused(StatusCode::from_u16(status).unwrap(), None).refusal;
        for status in [302, 401, 403, 404, 429, 503] {
            assert_eq!(of(status), Refusal::Unavailable, "{status}");
        }
        assert_eq!(of(500), Refusal::Temporary);
        assert_eq!(of(400), Refusal::Permanent);
        let named = refused(StatusCode::BAD_REQUEST, Some(21_211));
        assert_eq!(named.reason, "the SMS provider answered 400 (error 21211)");
    }
}
