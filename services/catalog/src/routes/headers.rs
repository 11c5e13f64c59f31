//! ETags, and what a CDN may do with an answer.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};

use crate::app::edit::Expected;

/// A browser asks again after 5 s; a CDN serves for a minute, longer while it asks anew or while we fail.
pub(super) const PUBLIC: (&str, &str) = (
    "cache-control",
    "public, max-age=5, s-maxage=60, stale-while-revalidate=30, stale-if-error=300",
);
/// Seen by the merchant alone.
pub(super) const PRIVATE: (&str, &str) = ("cache-control", "private, no-store");

pub(super) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether the client has this version already.
pub(super) fn has_version(request: &HttpRequest, version: i64) -> bool {
    let current = etag(version);
    tags(request, &IF_NONE_MATCH).is_some_and(|tags| {
        tags.iter()
            .any(|tag| *tag == "*" || tag.trim_start_matches("W/") == current)
    })
}

/// Which versions the client wants to change. A tag that is not ours matches no version.
pub(super) fn expected(request: &HttpRequest) -> Expected {
    match tags(request, &IF_MATCH) {
        None => Expected::Any,
        Some(tags) if tags.contains(&"*") => Expected::Any,
        Some(tags) => Expected::OneOf(
            tags.iter()
                .filter_map(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok())
                .collect(),
        ),
    }
}

fn tags<'r>(request: &'r HttpRequest, name: &HeaderName) -> Option<Vec<&'r str>> {
    let mut lines = request.headers().get_all(name).peekable();
    lines.peek()?;
    Some(
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        let with = |name: &'static str, value: &'static str| {
            TestRequest::get().insert_header((name, value)).to_http_request()
        };
        assert!(has_version(&with("if-none-match", "\"1\", W/\"7\""), 7));
        assert!(has_version(&with("if-none-match", "*"), 7));
        assert!(!has_version(&with("if-none-match", "\"6\", 7"), 7));
        assert_eq!(expected(&TestRequest::get().to_http_request()), Expected::Any);
        assert_eq!(expected(&with("if-match", "*")), Expected::Any);
        assert_eq!(
            expected(&with("if-match", "\"7\", \"x\"")),
            Expected::OneOf(vec![7])
        );
        // Weak tags never match strongly.
        assert_eq!(expected(&with("if-match", "W/\"7\"")), Expected::OneOf(vec![]));
    }
}
