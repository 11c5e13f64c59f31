use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

/// As long as a URL gets.
const URL_BYTES_MAX: usize = 2_000;
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 32;
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why nothing is sent there. Says nothing of what stands behind the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    #[error("must be a URL of at most 2000 bytes")]
    NoUrl,
    #[error("must begin with https://")]
    NotHttps,
    #[error("must have no user name, password or fragment")]
    Extras,
    #[error("its host name has no address")]
    Unresolved,
    #[error("its address is not public")]
    NotPublic,
}

/// Which addresses are sent to: public ones, so that nobody reaches through us what only we can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRules {
    /// For development: this machine itself, without TLS too.
    pub(crate) allow_loopback: bool,
}

/// A URL that may be sent to as far as it can be seen in the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(Url);

impl Target {
    pub(crate) fn parse(text: &str, rules: AddressRules) -> Result<Self, BadTarget> {
        if text.len() > URL_BYTES_MAX {
            return Err(BadTarget::NoUrl);
        }
        let url = Url::parse(text).map_err(|_| BadTarget::NoUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if rules.allow_loopback => {}
            _ => return Err(BadTarget::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(BadTarget::Extras);
        }
        // Such a host is connected to without asking any resolver.
        match url.host() {
            Some(Host::Ipv4(address)) if !rules.admits(address.into()) => Err(BadTarget::NotPublic),
            Some(Host::Ipv6(address)) if !rules.admits(address.into()) => Err(BadTarget::NotPublic),
            Some(_) => Ok(Self(url)),
            None => Err(BadTarget::NoUrl),
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// What the name stands for now. It may stand for something else later: it is checked again when the message is
    /// sent.
    pub(crate) async fn check(&self, rules: AddressRules) -> Result<(), BadTarget> {
        match self.0.host() {
            Some(Host::Domain(name)) => rules.resolve(name).await.map(|_| ()),
            _ => Ok(()),
        }
    }
}

impl AddressRules {
    /// The addresses of a name, if all of them may be sent to: one that may not among them is an attempt.
    pub(crate) async fn resolve(self, name: &str) -> Result<Vec<SocketAddr>, BadTarget> {
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
        let Ok(Ok(found)) = found else {
            return Err(BadTarget::Unresolved);
        };
        let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(BadTarget::Unresolved);
        }
        if addresses.iter().all(|address| self.admits(address.ip())) {
            Ok(addresses)
        } else {
            Err(BadTarget::NotPublic)
        }
    }

    pub(crate) fn admits(self, address: IpAddr) -> bool {
        let loopback = address.is_loopback() && self.allow_loopback;
        loopback
            || match address {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            }
    }
}

/// The IANA registry of special-purpose addresses, and multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    let within = |a, b, c, d, length: u32| {
        bits >> (32 - length) == Ipv4Addr::new(a, b, c, d).to_bits() >> (32 - length)
    };
    !(within(0, 0, 0, 0, 8)
        || within(10, 0, 0, 0, 8)
        || within(100, 64, 0, 0, 10)
        || within(127, 0, 0, 0, 8)
        || within(169, 254, 0, 0, 16)
        || within(172, 16, 0, 0, 12)
        || within(192, 0, 0, 0, 24)
        || within(192, 0, 2, 0, 24)
        || within(192, 88, 99, 0, 24)
        || within(192, 168, 0, 0, 16)
        || within(198, 18, 0, 0, 15)
        || within(198, 51, 100, 0, 24)
        || within(203, 0, 113, 0, 24)
        || within(224, 0, 0, 0, 3))
}

/// Global unicast without what wraps an IPv4 address, which might be any: IPv4-mapped, NAT64, Teredo, 6to4.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global_unicast = first & 0xe000 == 0x2000;
    // 2001::/23 holds Teredo and what is meant for protocols.
    let special = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    global_unicast && !special && first != 0x2002 && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCTION: AddressRules = AddressRules {
        allow_loopback: false,
    };
    const DEVELOPMENT: AddressRules = AddressRules { allow_loopback: true };

    #[test]
    fn only_public_addresses_are_sent_to() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert!(PRODUCTION.admits(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!PRODUCTION.admits(private.parse().unwrap()), "{private}");
        }
        for address in ["127.0.0.1", "::1"] {
            assert!(DEVELOPMENT.admits(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(!DEVELOPMENT.admits(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_that_hides_an_address_is_seen_through() {
        for (text, expected) in [
            ("https://127.0.0.1/", BadTarget::NotPublic),
            ("https://127.1/", BadTarget::NotPublic),
            ("https://2130706433/", BadTarget::NotPublic),
            ("https://0x7f.0.0.1/", BadTarget::NotPublic),
            ("https://0177.0.0.1/", BadTarget::NotPublic),
            ("https://[::1]/", BadTarget::NotPublic),
            ("https://[::ffff:169.254.169.254]/", BadTarget::NotPublic),
            ("https://①②⑦.0.0.1/", BadTarget::NotPublic),
            ("https://169.254.169.254/latest/meta-data/", BadTarget::NotPublic),
            ("http://example.com/", BadTarget::NotHttps),
            ("ftp://example.com/", BadTarget::NotHttps),
            ("file:///etc/passwd", BadTarget::NotHttps),
            ("https://me:pw@example.com/", BadTarget::Extras),
            ("https://example.com@127.0.0.1/", BadTarget::Extras),
            ("https://example.com/#a", BadTarget::Extras),
            ("https://", BadTarget::NoUrl),
            ("example.com", BadTarget::NoUrl),
        ] {
            assert_eq!(Target::parse(text, PRODUCTION), Err(expected), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(2_000));
        assert_eq!(Target::parse(&long, PRODUCTION), Err(BadTarget::NoUrl));
        assert!(Target::parse("https://example.com:8443/hooks?shop=1", PRODUCTION).is_ok());
        assert!(Target::parse("http://127.0.0.1:9000/", DEVELOPMENT).is_ok());
        assert!(Target::parse("http://10.0.0.1/", DEVELOPMENT).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused() {
        let target = Target::parse("https://localhost/", PRODUCTION).unwrap();
        assert_eq!(target.check(PRODUCTION).await, Err(BadTarget::NotPublic));
        assert_eq!(target.check(DEVELOPMENT).await, Ok(()));
    }
}
