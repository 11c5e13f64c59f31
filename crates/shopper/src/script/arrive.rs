use serde_json::json;

use super::{Outcome, Script, Told};
use crate::report::{Failure, Reporter, Step, Unmet};
use crate::shop::{Customer, Session, Shop};

pub(super) struct People {
    pub(super) buyer: Customer,
    pub(super) session: Session,
    pub(super) merchant: Session,
    pub(super) warehouse: Session,
    pub(super) guest: Session,
}

pub(super) async fn chapter(script: &mut Script<'_, impl Reporter>) -> Result<People, Failure> {
    let shop = script.shop;
    let buyer = script.step(Step::Register, register(shop)).await?;
    let session = script.step(Step::LogIn, log_in(shop, &buyer)).await?;
    script
        .step(Step::RotateTokens, rotate_tokens(shop, &buyer))
        .await?;
    let (merchant, warehouse) = script.step(Step::StaffLogIn, staff(shop)).await?;
    let guest = script.step(Step::GuestSession, guest(shop)).await?;
    Ok(People {
        buyer,
        session,
        merchant,
        warehouse,
        guest,
    })
}

async fn register(shop: &Shop<'_>) -> Outcome<Customer> {
    let (customer, user) = shop.register("Ada").await?;
    let detail = format!("201, {} with the roles {}", customer.email, user.roles.join(", "));
    let id = customer.user_id;
    Ok(Told::new(customer, detail).note(format!("user {id}")))
}

async fn log_in(shop: &Shop<'_>, buyer: &Customer) -> Outcome<Session> {
    let session = shop.log_in(&buyer.email, &buyer.password).await?;
    let body = json!({"email": buyer.email, "password": "not the password"});
    shop.api
        .post("/v1/auth/token", body)
        .send()
        .await?
        .problem(&[401])?;
    let detail = format!(
        "200, a token for {} s; a wrong password is 401",
        session.expires_in
    );
    Ok(Told::new(session, detail))
}

/// On a session of its own: the reuse ends the whole family.
async fn rotate_tokens(shop: &Shop<'_>, buyer: &Customer) -> Outcome<()> {
    let first = shop.log_in(&buyer.email, &buyer.password).await?;
    let refreshed = refresh(shop, &first.refresh_token).await?.expect(&[200])?;
    let second: crate::dto::Tokens = refreshed.read()?;
    refreshed.must(second.refresh_token != first.refresh_token, "a new refresh token")?;
    refresh(shop, &first.refresh_token).await?.problem(&[401])?;
    refresh(shop, &second.refresh_token).await?.problem(&[401])?;
    Ok(Told::new(
        (),
        "200, a new pair; the old one again is 401 and ends the family",
    ))
}

async fn refresh(shop: &Shop<'_>, token: &str) -> Result<crate::api::Answer, Unmet> {
    shop.api
        .post("/v1/auth/refresh", json!({"refresh_token": token}))
        .send()
        .await
}

async fn staff(shop: &Shop<'_>) -> Outcome<(Session, Session)> {
    let (merchant, warehouse) = (&shop.options.accounts.merchant, &shop.options.accounts.warehouse);
    let sessions = (
        shop.log_in(&merchant.email, &merchant.password).await?,
        shop.log_in(&warehouse.email, &warehouse.password).await?,
    );
    Ok(Told::new(
        sessions,
        format!("200, {} and {}", merchant.email, warehouse.email),
    ))
}

async fn guest(shop: &Shop<'_>) -> Outcome<Session> {
    let guest = shop.guest().await?;
    let detail = format!("a token for {} s, without an account", guest.expires_in);
    Ok(Told::new(guest, detail))
}
