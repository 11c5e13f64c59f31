//! What is audited.

use std::path::Path;

use anyhow::{Context as _, Result};
use secrecy::SecretString;

/// How the auditor reaches everything that it reads. Roles that may only read are enough.
#[derive(Debug, Clone)]
pub struct Target {
    pub inventory_url: SecretString,
    pub orders_url: SecretString,
    pub payments_url: SecretString,
    pub catalog_url: SecretString,
    pub kafka: KafkaTarget,
    pub provider: Provider,
}

#[derive(Debug, Clone)]
pub struct KafkaTarget {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Stands before every topic's name.
    pub topic_prefix: String,
}

/// The payment provider's API: Stripe's, or the sandbox's.
#[derive(Debug, Clone)]
pub struct Provider {
    pub url: String,
    /// A restricted key that may read payment intents and charges is enough.
    pub api_key: SecretString,
}

impl Target {
    /// The stack that was started in the folder. It has no read-only roles: the services' own are used, in
    /// transactions that PostgreSQL keeps from writing.
    pub fn of_stack(folder: &Path) -> Result<Self> {
        let stores = ferrocart_stack::stores(folder)?
            .with_context(|| format!("nothing was started in {}", folder.display()))?;
        let database = |name: &str| {
            stores
                .databases
                .get(name)
                .map(|url| SecretString::from(url.as_str()))
                .with_context(|| format!("the stack has no database {name}"))
        };
        Ok(Self {
            inventory_url: database("inventory")?,
            orders_url: database("orders")?,
            payments_url: database("payments")?,
            catalog_url: database("catalog")?,
            kafka: KafkaTarget {
                brokers: stores.kafka_brokers,
                topic_prefix: String::new(),
            },
            provider: Provider {
                url: stores.psp_url,
                api_key: stores.psp_api_key.into(),
            },
        })
    }
}
