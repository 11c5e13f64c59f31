use std::sync::Arc;
use std::time::Duration;

use ferrocart_types::{Email, UserId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::IdentitySettings;
use crate::error::ServiceError;
use crate::limits::{Bucket, Limiter, Rate};
use crate::store::sessions::Familiar;

/// How many passwords may be tried for an account. A try is taken before the password is looked at, so that a crowd of
/// them at once gets no more, and given back when it was the right one.
#[derive(Clone)]
pub(crate) struct PasswordTries {
    limiter: Arc<Limiter>,
    rate: Rate,
}

/// A try that was taken.
#[must_use]
pub(crate) struct Try(Bucket);

impl PasswordTries {
    pub(crate) fn new(limiter: Arc<Limiter>, settings: &IdentitySettings) -> Self {
        let interval = Duration::from_secs(settings.password_try_seconds.into());
        Self {
            limiter,
            rate: Rate::new(interval, settings.password_tries_burst),
        }
    }

    /// For an e-mail address, by anybody; it need not have an account.
    pub(crate) async fn by_anybody(&self, email: &Email) -> Result<Try, ServiceError> {
        self.take(account(email)).await
    }

    /// For an e-mail address, by a device or from a network address from which its account was logged in to.
    pub(crate) async fn by_familiar(
        &self,
        email: &Email,
        familiar: &Familiar,
        address: &str,
    ) -> Result<Try, ServiceError> {
        let account = account(email);
        self.take(match familiar {
            Familiar::Device(session_id) => format!("{account}:{session_id}"),
            Familiar::Address => format!("{account}:{address}"),
        })
        .await
    }

    /// By somebody who is logged in.
    pub(crate) async fn by_owner(&self, user_id: UserId) -> Result<Try, ServiceError> {
        self.take(Uuid::from(user_id).to_string()).await
    }

    async fn take(&self, whose: String) -> Result<Try, ServiceError> {
        let bucket = Bucket {
            name: "password-tries",
            key: format!("{{limits}}:tries:{whose}"),
            rate: self.rate,
        };
        match self.limiter.take(std::slice::from_ref(&bucket)).await.wait {
            None => Ok(Try(bucket)),
            Some(wait) => Err(ServiceError::TooManyTries(wait)),
        }
    }

    pub(crate) async fn give_back(&self, Try(bucket): Try) {
        self.limiter.give_back(&bucket).await;
    }
}

/// Personal data stays out of keys that are shown by tools.
fn account(email: &Email) -> String {
    hex(&Sha256::digest(email.as_str().as_bytes())[..16])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
