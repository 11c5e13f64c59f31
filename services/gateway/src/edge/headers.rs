use actix_web::http::header::{HeaderMap, HeaderValue};

/// What a client may say to a service. Everything else stays here: hop-by-hop fields, cookies, and
/// whatever a client makes up to look like one of us.
const TO_SERVICE: [&str; 14] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "last-event-id",
    "prefer",
    "stripe-signature",
    "user-agent",
];

/// What is between two neighbours (RFC 9110, section 7.6.1), or is set anew by the gateway.
const NOT_TO_CLIENT: [&str; 14] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// The fields that go to the service, as reqwest has them.
pub(crate) fn to_service(from: &HeaderMap) -> reqwest::header::HeaderMap {
    let mut to = reqwest::header::HeaderMap::with_capacity(TO_SERVICE.len() + 4);
    for (name, value) in from {
        let name = name.as_str();
        if !TO_SERVICE.contains(&name) {
            continue;
        }
        let Ok(name) = reqwest::header::HeaderName::from_bytes(name.as_bytes()) else {
            continue;
        };
        let is_tags = matches!(name.as_str(), "if-match" | "if-none-match");
        if is_tags && let Some(value) = strong_tags(value) {
            to.append(name, value);
        } else if let Ok(value) = reqwest::header::HeaderValue::from_bytes(value.as_bytes()) {
            to.append(name, value);
        }
    }
    to
}

/// The tag of an answer that was packed here is weak, and names the version that the service has named; to the service it
/// is the same again.
fn strong_tags(value: &HeaderValue) -> Option<reqwest::header::HeaderValue> {
    let tags = value.to_str().ok().filter(|tags| tags.contains("W/"))?;
    let tags: Vec<&str> = tags
        .split(',')
        .map(str::trim)
        .map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
        .collect();
    reqwest::header::HeaderValue::from_str(&tags.join(", ")).ok()
}

/// The fields that go to the client.
pub(crate) fn to_client(
    from: &reqwest::header::HeaderMap,
) -> impl Iterator<Item = (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)> {
    // Seldom any.
    let named: Vec<String> = from
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    from.iter().filter(move |(name, _)| {
        !NOT_TO_CLIENT.contains(&name.as_str()) && !named.iter().any(|named| named == name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    #[test]
    fn the_tag_of_a_packed_answer_is_the_services_own_again() {
        let mut from = HeaderMap::new();
        let tags = HeaderValue::from_static("W/\"7\", \"aW/\"");
        from.insert(HeaderName::from_static("if-match"), tags);
        assert_eq!(to_service(&from)["if-match"], "\"7\", \"aW/\"");
    }

    #[test]
    fn only_known_fields_reach_a_service() {
        let mut from = HeaderMap::new();
        for name in [
            "idempotency-key",
            "authorization",
            "cookie",
            "x-internal-user",
            "x-forwarded-for",
            "connection",
            "transfer-encoding",
            "host",
            "traceparent",
            "if-match",
        ] {
            from.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        let mut names: Vec<String> = to_service(&from).keys().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["idempotency-key", "if-match"]);
    }

    #[test]
    fn what_is_between_neighbours_stays_there() {
        let mut from = reqwest::header::HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"7\""),
            ("content-type", "application/json"),
        ] {
            from.insert(name, value.parse().unwrap());
        }
        let mut names: Vec<String> = to_client(&from).map(|(name, _)| name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["content-type", "etag"]);
    }
}
