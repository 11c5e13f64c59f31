use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{self, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use crate::config::IdentitySettings;
use crate::domain::Password;
use crate::error::ServiceError;

/// Hashes passwords with argon2id, off the event loop, few at a time: each takes a core and megabytes.
#[derive(Clone)]
pub(crate) struct PasswordHasher {
    inner: Arc<Inner>,
}

struct Inner {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    wait: Duration,
    /// Of a password that nobody has: an unknown e-mail costs what a known one does.
    decoy: String,
}

impl PasswordHasher {
    pub(crate) fn new(settings: &IdentitySettings) -> anyhow::Result<Self> {
        let params = Params::new(settings.password_memory_kib, settings.password_passes, 1, None)
            .map_err(|error| anyhow::anyhow!("password_memory_kib, password_passes: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut unknown = [0; 32];
        fill(&mut unknown).map_err(|error| anyhow::anyhow!("{error}"))?;
        let decoy = hash(&argon2, &unknown).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                argon2,
                turns: Arc::new(Semaphore::new(settings.password_hash_concurrency)),
                wait: Duration::from_millis(settings.password_hash_wait_ms),
                decoy,
            }),
        })
    }

    pub(crate) async fn hash(&self, password: &Password) -> Result<String, ServiceError> {
        let password = password.clone();
        self.in_turn(move |inner| hash(&inner.argon2, password.expose().as_bytes()))
            .await
    }

    /// Whether the password is the one that was hashed. Without a hash it is compared with a decoy, which
    /// takes as long and never matches.
    pub(crate) async fn verify(&self, password: &str, hashed: Option<String>) -> Result<bool, ServiceError> {
        let password = password.to_owned();
        self.in_turn(move |inner| {
            let expected = PasswordHash::new(hashed.as_deref().unwrap_or(&inner.decoy))
                .map_err(|error| ServiceError::Hash(error.to_string()))?;
            match inner.argon2.verify_password(password.as_bytes(), &expected) {
                Ok(()) => Ok(hashed.is_some()),
                Err(password_hash::Error::Password) => Ok(false),
                Err(error) => Err(ServiceError::Hash(error.to_string())),
            }
        })
        .await
    }

    async fn in_turn<T, F>(&self, work: F) -> Result<T, ServiceError>
    where
        F: FnOnce(&Inner) -> Result<T, ServiceError> + Send + 'static,
        T: Send + 'static,
    {
        let waiting = Arc::clone(&self.inner.turns).acquire_owned();
        let turn = tokio::time::timeout(self.inner.wait, waiting)
            .await
            .map_err(|_| ServiceError::Busy)?
            .map_err(|error| ServiceError::Hash(error.to_string()))?;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&inner);
            // Held by the work, not by the waiter: a client that hangs up frees no core.
            drop(turn);
            outcome
        });
        done.await
            .map_err(|error| ServiceError::Hash(error.to_string()))?
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, ServiceError> {
    let mut salt = [0; 16];
    fill(&mut salt)?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| ServiceError::Hash(error.to_string()))?;
    argon2
        .hash_password(password, &salt)
        .map(|hashed| hashed.to_string())
        .map_err(|error| ServiceError::Hash(error.to_string()))
}

/// Random bytes of the operating system's quality.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), ServiceError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| ServiceError::Hash("no random numbers".to_owned()))
}
