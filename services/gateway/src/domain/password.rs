use ferrocart_config::{ExposeSecret, SecretString};

/// A password as it was typed: 8 to 128 characters of any kind, as NIST SP 800-63B would have it.
#[derive(Debug, Clone)]
pub(crate) struct Password(SecretString);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must have 8 to 128 characters")]
pub(crate) struct InvalidPassword;

impl Password {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPassword> {
        if (8..=128).contains(&text.chars().count()) {
            Ok(Self(SecretString::from(text)))
        } else {
            Err(InvalidPassword)
        }
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(Password::parse("pässwört").is_ok());
        assert!(Password::parse("1234567").is_err());
        assert!(Password::parse(&"ä".repeat(128)).is_ok());
        assert!(Password::parse(&"a".repeat(129)).is_err());
    }

    #[test]
    fn stays_out_of_logs() {
        assert!(!format!("{:?}", Password::parse("correct horse").unwrap()).contains("horse"));
    }
}
