//! The sample accounts, made through the gateway as an administrator would.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::component::Service;
use crate::keys::Account;
use crate::stack::{Stack, locked};

#[derive(Deserialize)]
struct Session {
    access_token: String,
}

#[derive(Deserialize)]
struct User {
    user_id: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Stack {
    /// The sample account of a role: `admin`, `customer`, `merchant`, `warehouse`, `support`.
    pub fn account(&self, role: &str) -> Result<&Account> {
        self.secrets
            .account(role)
            .with_context(|| format!("there is no sample account of the role {role}"))
    }

    /// Makes the sample accounts that are not there yet. The gateway itself makes the administrator.
    pub async fn create_sample_accounts(&self) -> Result<()> {
        if locked(&self.state).accounts_created {
            return Ok(());
        }
        let step = "sample accounts";
        let began = self.begin(step);
        let admin = self
            .log_in(self.account("admin")?)
            .await?
            .context("the gateway knows no administrator")?;
        for account in self.accounts().iter().filter(|account| account.role != "admin") {
            self.ensure_account(account, &admin)
                .await
                .with_context(|| format!("make the sample account {}", account.email))?;
        }
        self.change_state(|state| state.accounts_created = true)?;
        self.end(step, "created", began);
        Ok(())
    }

    /// An access token of the sample account with this role.
    pub async fn access_token(&self, role: &str) -> Result<String> {
        let account = self.account(role)?;
        self.log_in(account)
            .await?
            .with_context(|| format!("the gateway refuses {}", account.email))
    }

    async fn ensure_account(&self, account: &Account, admin_token: &str) -> Result<()> {
        // It is there when an earlier attempt got as far as this, and may lack its roles.
        let user_id = match self.log_in(account).await? {
            Some(token) => subject(&token)?,
            None => self.register(account).await?,
        };
        if account.role == "customer" {
            return Ok(());
        }
        let url = format!("{}/v1/users/{user_id}/roles", self.url(Service::Gateway));
        let roles = json!({ "roles": [account.role] });
        let answer = self
            .http
            .put(url)
            .bearer_auth(admin_token)
            .json(&roles)
            .send()
            .await
            .context("set the roles of an account")?;
        expect(answer, StatusCode::OK).await.map(drop)
    }

    async fn register(&self, account: &Account) -> Result<String> {
        let url = format!("{}/v1/users", self.url(Service::Gateway));
        let mut name = account.role.clone();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let user = json!({
            "email": account.email,
            "password": account.password,
            "name": format!("Sample {name}"),
        });
        let answer = self
            .http
            .post(url)
            .json(&user)
            .send()
            .await
            .context("register an account")?;
        let user: User = serde_json::from_value(expect(answer, StatusCode::CREATED).await?)
            .context("the gateway's answer to a registration")?;
        Ok(user.user_id)
    }

    /// None when the gateway does not know the account, or not by this password.
    async fn log_in(&self, account: &Account) -> Result<Option<String>> {
        let url = format!("{}/v1/auth/token", self.url(Service::Gateway));
        let credentials = json!({ "email": account.email, "password": account.password });
        let answer = self
            .http
            .post(url)
            .json(&credentials)
            .send()
            .await
            .context("log in")?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        let session: Session = serde_json::from_value(expect(answer, StatusCode::OK).await?)
            .context("the gateway's answer to a login")?;
        Ok(Some(session.access_token))
    }
}

async fn expect(answer: reqwest::Response, wanted: StatusCode) -> Result<Value> {
    let (status, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await.context("read the gateway's answer")?;
    if status != wanted {
        bail!("{url} answers {status} instead of {wanted}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{url} does not answer JSON: {body}"))
}

/// Whom a token is for. The gateway has just given it to us, so its signature proves nothing more.
fn subject(token: &str) -> Result<String> {
    let payload = token.split('.').nth(1).context("the access token is no JWT")?;
    let bytes = URL_SAFE_NO_PAD
        .decode(payload)
        .context("the access token is no JWT")?;
    let claims: Claims = serde_json::from_slice(&bytes).context("the access token names no subject")?;
    Ok(claims.sub)
}
