use anyhow::Result;
use ferrocart_types::{Clock as _, SystemClock};
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::report::Report;
use crate::world::{Answer, With, World, fresh};

const PATH: &str = "/v1/payments/webhook";

fn signature(secret: &str, at: i64, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(format!("{at}.{body}").as_bytes());
    Ok(format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes())))
}

async fn deliver(world: &World, header: &str, body: &str) -> Result<Answer> {
    let with = With {
        body: Some(body.as_bytes()),
        headers: &[("stripe-signature", header)],
        ..With::default()
    };
    world.send(("POST", PATH), with).await
}

/// The provider's word is taken only when it signed it just now, and only once.
pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let now = SystemClock.now().timestamp();
    let secret = &world.webhook_secret;
    // A refund that nobody made, of a payment that is nobody's: a forger would name a real one.
    let event = |id: &str, kind: &str| {
        json!({ "id": id, "type": kind, "data": { "object": { "object": "refund", "id": "re_x",
            "payment_intent": "pi_abuse", "status": "failed", "amount": 1, "currency": "usd" } } })
        .to_string()
    };
    let body = event("evt_abuse_1", "refund.failed");
    let good = signature(secret, now, &body)?;
    let other = event("evt_abuse_2", "refund.failed");
    let forged = [
        ("without a signature", String::new(), &body),
        (
            "signed with a guess",
            signature("whsec_guess", now, &body)?,
            &body,
        ),
        ("signed with nothing", signature("", now, &body)?, &body),
        ("altered", good.clone(), &other),
        (
            "replayed after ten minutes",
            signature(secret, now - 600, &body)?,
            &body,
        ),
        ("from the future", signature(secret, now + 600, &body)?, &body),
        (
            "with a time that is not the signed one",
            good.replace(&format!("t={now}"), &format!("t={}", now - 1)),
            &body,
        ),
        ("of a scheme that is not v1", good.replace("v1=", "v0="), &body),
        (
            "with a cut signature",
            good.get(..30).unwrap_or_default().to_owned(),
            &body,
        ),
    ];
    for (what, header, body) in forged {
        let answer = deliver(world, &header, body).await?;
        let refused = answer.status == 400 && answer.code == "INVALID_WEBHOOK";
        report.check(&format!("a webhook {what}"), refused, answer.said());
    }
    replayed(world, report, now).await
}

/// A well-signed event about the victim's own payment, again and again: the payment stays as it is.
async fn replayed(world: &World, report: &mut Report, now: i64) -> Result<()> {
    let path = format!("/v1/payments/{}", world.thing("payment_id").unwrap_or_default());
    let before = world.get(&path, &world.victim.token).await?;
    anyhow::ensure!(before.status == 200, "the victim's payment: {}", before.said());
    let body = json!({ "id": format!("evt_{}", fresh()), "type": "payment_intent.amount_capturable_updated",
        "data": { "object": { "object": "payment_intent", "id": "pi_abuse_replayed", "status": "requires_capture",
            "amount": 1, "currency": "usd" } } })
    .to_string();
    let header = signature(&world.webhook_secret, now, &body)?;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(deliver(world, &header, &body).await?);
    }
    let calm = answers.iter().all(|answer| answer.status < 500);
    report.check(
        "a webhook that comes three times",
        calm,
        answers.last().map_or_else(String::new, Answer::said),
    );
    let after = world.get(&path, &world.victim.token).await?;
    report.check(
        "the payment is as it was",
        before.json == after.json,
        after.said(),
    );
    Ok(())
}
