use uuid::Uuid;

use crate::mail::{Mail, MailKind};
use crate::report::Unmet;
use crate::shop::Shop;
use crate::wait::{Attempt, until};

/// Waits until a mail of each kind about the order is there, and refuses any that came twice.
pub(super) async fn exactly_once(
    shop: &Shop<'_>,
    email: &str,
    order_id: Uuid,
    kinds: &[MailKind],
) -> Result<Vec<Mail>, Unmet> {
    let expectation = format!(
        "e-mails {kinds:?} to {email} about order {order_id} in {}",
        shop.mails.path()
    );
    let mails = until(shop.limit(), &expectation, async || {
        let mails = shop.mails.about(email, order_id).await?;
        let complete = kinds
            .iter()
            .all(|kind| mails.iter().any(|mail| mail.kind == *kind));
        Ok(if complete {
            Attempt::Done(mails)
        } else {
            Attempt::NotYet(None)
        })
    })
    .await?;
    if mails.iter().map(|mail| mail.kind).eq(kinds.iter().copied()) {
        return Ok(mails);
    }
    let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    Err(Unmet::new(format!(
        "exactly one each of {kinds:?} about order {order_id}, not {subjects:?}"
    )))
}
