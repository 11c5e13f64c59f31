//! Calls that are going away: told in the answers (RFC 9745, RFC 8594) and in the document, by configuration.

use std::str::FromStr;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;

use super::table::{RULES, Rule};

/// Such as `GET /v1/products since 2027-01-01 until 2027-07-01 see https://shop.example.com/migration`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Deprecation {
    method: String,
    path: String,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    see: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not of the form `GET /v1/products since 2027-01-01 until 2027-07-01 see https://…` with a call of \
     the public API (`until` and `see` may be left away; `until` is later than `since`)"
)]
pub struct InvalidDeprecation(String);

impl FromStr for Deprecation {
    type Err = InvalidDeprecation;

    fn from_str(text: &str) -> Result<Self, InvalidDeprecation> {
        parse(text).ok_or_else(|| InvalidDeprecation(text.to_owned()))
    }
}

impl TryFrom<String> for Deprecation {
    type Error = InvalidDeprecation;

    fn try_from(text: String) -> Result<Self, InvalidDeprecation> {
        text.parse()
    }
}

fn parse(text: &str) -> Option<Deprecation> {
    let mut words = text.split_ascii_whitespace();
    let (method, path) = (words.next()?.to_ascii_uppercase(), words.next()?);
    RULES
        .iter()
        .find(|rule| rule.path == path && rule.verb.method() == method.as_str())?;
    let (mut since, mut until, mut see) = (None, None, None);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word {
            "since" => since = Some(midnight(value)?),
            "until" => until = Some(midnight(value)?),
            "see" => see = Some(url::Url::parse(value).ok()?.to_string()),
            _ => return None,
        }
    }
    let since = since?;
    until.is_none_or(|until| until > since).then(|| Deprecation {
        method,
        path: path.to_owned(),
        since,
        until,
        see,
    })
}

fn midnight(date: &str) -> Option<DateTime<Utc>> {
    let date: NaiveDate = date.parse().ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

impl Deprecation {
    pub(crate) fn is_of(&self, rule: &Rule) -> bool {
        rule.path == self.path && rule.verb.method() == self.method.as_str()
    }

    /// Tells a client, also one that is refused, that it should go elsewhere.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        };
        put("deprecation", format!("@{}", self.since.timestamp()));
        if let Some(until) = self.until {
            put("sunset", until.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        if let Some(see) = &self.see {
            put(
                "link",
                format!("<{see}>; rel=\"deprecation\"; type=\"text/html\""),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_when_and_where_to() {
        let text = "get /v1/products since 2027-01-01 until 2027-07-01 see https://shop.example.com/v2";
        let deprecation: Deprecation = text.parse().unwrap();
        let mut headers = HeaderMap::new();
        deprecation.tell(&mut headers);
        assert_eq!(headers.get("deprecation").unwrap(), "@1798761600");
        assert_eq!(headers.get("sunset").unwrap(), "Thu, 01 Jul 2027 00:00:00 GMT");
        assert_eq!(
            headers.get("link").unwrap(),
            "<https://shop.example.com/v2>; rel=\"deprecation\"; type=\"text/html\""
        );
        let its_rules = RULES.iter().filter(|rule| deprecation.is_of(rule));
        let its_rules: Vec<_> = its_rules.map(|rule| (rule.verb.method(), rule.path)).collect();
        assert_eq!(its_rules, [(actix_web::http::Method::GET, "/v1/products")]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "GET /v1/products",
            "GET /v1/nothing since 2027-01-01",
            "PUT /v1/products since 2027-01-01",
            "GET /v1/products since soon",
            "GET /v1/products since 2027-01-01 until 2026-01-01",
            "GET /v1/products since 2027-01-01 until",
            "GET /v1/products since 2027-01-01 see nowhere",
            "GET /v1/products since 2027-01-01 because so",
        ] {
            assert!(text.parse::<Deprecation>().is_err(), "{text}");
        }
    }
}
