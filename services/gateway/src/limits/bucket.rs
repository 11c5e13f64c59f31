use std::time::Duration;

use ferrocart_config::ConfigError;
use serde::Deserialize;

const MICROS: u64 = 1_000_000;

/// A token bucket's size and flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Limit {
    pub per_second: u32,
    pub burst: u32,
}

impl Limit {
    fn is_sane(self) -> bool {
        (1..=1_000_000).contains(&self.per_second) && self.burst >= 1
    }
}

/// How a bucket fills: the time between two tokens, and how many are in it at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    interval_us: u64,
    burst: u32,
}

impl Rate {
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
        Self { interval_us, burst }
    }

    /// Between two tokens.
    pub(crate) fn interval_us(self) -> u64 {
        self.interval_us
    }

    pub(crate) fn capacity_us(self) -> u64 {
        self.interval_us.saturating_mul(self.burst.into())
    }
}

impl From<Limit> for Rate {
    fn from(limit: Limit) -> Self {
        Self {
            interval_us: MICROS / u64::from(limit.per_second.max(1)),
            burst: limit.burst,
        }
    }
}

/// Whom one bucket of a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Each user, or each address where nobody is logged in; takes the place of the call's class.
    Caller,
    /// All together.
    All,
    /// Each address, whoever is logged in.
    Address,
    /// Each user; nobody is counted who is not logged in.
    User,
    /// Each API key; nobody is counted who has none.
    Key,
}

impl Tier {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "address" => Self::Address,
            "user" => Self::User,
            "key" => Self::Key,
            _ => return None,
        })
    }

    /// In keys, and in the RateLimit fields.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Caller => "route",
            Self::All => "route-all",
            Self::Address => "route-address",
            Self::User => "route-user",
            Self::Key => "route-key",
        }
    }
}

/// The limit of one call, such as `GET /v1/search 50/100` or `GET /v1/search 2000/4000 by all`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RouteLimit {
    method: String,
    path: String,
    limit: Limit,
    tier: Tier,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not of the form `GET /v1/search 50/100`: method, path, tokens a second and burst, and `by all`, \
     `by address`, `by user` or `by key` if it is not in place of the call's class"
)]
pub struct InvalidRouteLimit(String);

impl TryFrom<String> for RouteLimit {
    type Error = InvalidRouteLimit;

    fn try_from(text: String) -> Result<Self, InvalidRouteLimit> {
        let parse = || {
            let mut words = text.split_whitespace();
            let (method, path, numbers) = (words.next()?, words.next()?, words.next()?);
            let (per_second, burst) = numbers.split_once('/')?;
            let limit = Limit {
                per_second: per_second.parse().ok()?,
                burst: burst.parse().ok()?,
            };
            let tier = match words.next() {
                None => Tier::Caller,
                Some("by") => Tier::named(words.next()?)?,
                Some(_) => return None,
            };
            (words.next().is_none() && limit.is_sane()).then(|| Self {
                method: method.to_uppercase(),
                path: path.to_owned(),
                limit,
                tier,
            })
        };
        parse().ok_or_else(|| InvalidRouteLimit(text.clone()))
    }
}

/// The limits of all tiers; `config.default.toml` says what each means.
#[derive(Debug, Clone, Deserialize)]
pub struct LimitSettings {
    pub routes: Vec<RouteLimit>,
    pub global: Limit,
    pub address: Limit,
    pub user: Limit,
    pub key: Limit,
    pub flash_sale: Limit,
    pub auth: Limit,
    pub read: Limit,
    pub write: Limit,
    pub checkout: Limit,
    pub import: Limit,
    pub stream: Limit,
    pub webhook: Limit,
}

impl LimitSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (key, limit) in [
            ("limits.global", self.global),
            ("limits.address", self.address),
            ("limits.user", self.user),
            ("limits.key", self.key),
            ("limits.flash_sale", self.flash_sale),
            ("limits.auth", self.auth),
            ("limits.read", self.read),
            ("limits.write", self.write),
            ("limits.checkout", self.checkout),
            ("limits.import", self.import),
            ("limits.stream", self.stream),
            ("limits.webhook", self.webhook),
        ] {
            if !limit.is_sane() {
                return Err(ConfigError::rejected(
                    key,
                    "per_second must be from 1 to 1000000, burst at least 1",
                ));
            }
        }
        Ok(())
    }

    /// The limits that one call has of its own.
    pub(crate) fn of_route(&self, method: &str, path: &str) -> impl Iterator<Item = (Tier, Limit)> {
        self.routes
            .iter()
            .filter(move |route| route.path == path && route.method == method)
            .map(|route| (route.tier, route.limit))
    }

    /// Methods and paths that have limits of their own.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.routes
            .iter()
            .map(|route| (route.method.as_str(), route.path.as_str()))
    }
}

/// One bucket that applies to a request.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Its policy's name in the RateLimit fields.
    pub(crate) name: &'static str,
    pub(crate) key: String,
    pub(crate) rate: Rate,
}

/// What was decided, and how the buckets stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How long to wait for a token in all buckets; `None` when the request may pass.
    pub(crate) wait: Option<Duration>,
    pub(crate) states: Vec<BucketState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketState {
    name: &'static str,
    rate: Rate,
    remaining: u64,
    full_in_us: u64,
}

impl Verdict {
    /// `debts_us` are the times until the buckets are full again.
    pub(crate) fn new(buckets: &[Bucket], wait_us: u64, debts_us: &[u64]) -> Self {
        let states = buckets
            .iter()
            .zip(debts_us)
            .map(|(bucket, debt)| BucketState {
                name: bucket.name,
                rate: bucket.rate,
                remaining: bucket.rate.capacity_us().saturating_sub(*debt) / bucket.rate.interval_us(),
                full_in_us: *debt,
            })
            .collect();
        Self {
            wait: (wait_us > 0).then(|| Duration::from_micros(wait_us)),
            states,
        }
    }

    /// The fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): all policies
    /// that apply, and how the tightest of them stands.
    pub(crate) fn fields(&self) -> Option<(String, String)> {
        let policies: Vec<String> = self
            .states
            .iter()
            .map(|state| {
                let window = state.rate.capacity_us().div_ceil(MICROS).max(1);
                format!("\"{}\";q={};w={window}", state.name, state.rate.burst)
            })
            .collect();
        // The smallest part of its own size is left in it.
        let tightest = self.states.iter().min_by_key(|state| {
            state
                .remaining
                .saturating_mul(MICROS)
                .checked_div(state.rate.burst.into())
        })?;
        let reset = tightest.full_in_us.div_ceil(MICROS);
        let state = format!("\"{}\";r={};t={reset}", tightest.name, tightest.remaining);
        Some((policies.join(", "), state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_its_limit_in_one_line() {
        let parse = |text: &str| RouteLimit::try_from(text.to_owned());
        let route = parse("get  /v1/search 50/100").unwrap();
        assert_eq!(
            (route.method.as_str(), route.path.as_str()),
            ("GET", "/v1/search")
        );
        assert_eq!((route.limit.per_second, route.limit.burst), (50, 100));
        assert_eq!(route.tier, Tier::Caller);
        assert_eq!(parse("GET /v1/search 50/100 by all").unwrap().tier, Tier::All);
        assert_eq!(parse("GET /v1/search 50/100 by key").unwrap().tier, Tier::Key);
        for bad in [
            "",
            "GET /x",
            "GET /x 5",
            "GET /x 0/1",
            "GET /x 1/0",
            "GET /x 1/1 1",
            "GET /x a/b",
            "GET /x 1/1 by",
            "GET /x 1/1 by moon",
            "GET /x 1/1 by all all",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fields_name_all_policies_and_the_tightest_state() {
        let bucket = |name, per_second, burst| Bucket {
            name,
            key: name.to_owned(),
            rate: Limit { per_second, burst }.into(),
        };
        let buckets = [bucket("global", 1000, 5000), bucket("user", 10, 20)];
        let verdict = Verdict::new(&buckets, 0, &[1_000, 300_000]);
        let (policy, state) = verdict.fields().unwrap();
        assert_eq!(policy, r#""global";q=5000;w=5, "user";q=20;w=2"#);
        assert_eq!(state, r#""user";r=17;t=1"#);
    }
}
