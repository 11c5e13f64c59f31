//! The sample accounts that the platform was started with.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Merchant,
    Warehouse,
    #[serde(other)]
    Other,
}

#[derive(Clone, Deserialize)]
pub struct Account {
    pub role: Role,
    pub email: String,
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("role", &self.role)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// The two accounts that a purchase needs besides its buyers.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub merchant: Account,
    pub warehouse: Account,
}

impl Accounts {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("read the accounts in {}", path.display()))
    }

    pub fn parse(json: &str) -> anyhow::Result<Self> {
        let accounts: Vec<Account> =
            serde_json::from_str(json).context("expected [{\"role\", \"email\", \"password\"}, …]")?;
        ensure!(!accounts.is_empty(), "the list of accounts is empty");
        let of = |role| accounts.iter().find(|account| account.role == role).cloned();
        Ok(Self {
            merchant: of(Role::Merchant).context("no account has the role merchant")?,
            warehouse: of(Role::Warehouse).context("no account has the role warehouse")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_role_and_others_are_passed_over() {
        let accounts = Accounts::parse(
            r#"[{"role":"admin","email":"a@x.test","password":"1"},
                {"role":"warehouse","email":"w@x.test","password":"2"},
                {"role":"merchant","email":"m@x.test","password":"3"}]"#,
        )
        .unwrap();
        assert_eq!(accounts.merchant.email, "m@x.test");
        assert_eq!(accounts.warehouse.password, "2");
        assert!(!format!("{accounts:?}").contains("\"2\""));
    }

    #[test]
    fn a_missing_role_is_named() {
        let error = Accounts::parse(r#"[{"role":"merchant","email":"m","password":"p"}]"#).unwrap_err();
        assert!(error.to_string().contains("warehouse"));
    }
}
