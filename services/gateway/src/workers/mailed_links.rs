use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use ferrocart_types::SharedClock;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::new_link_token;
use crate::domain::LinkPurpose;
use crate::edge::{InternalTokens, Service, Upstreams};
use crate::store::links::{self, Due};
use crate::store::users;

const PATH: &str = "/internal/v1/links";
/// Links that another instance was told of, or that failed, wait so long at most beyond their time.
const POLL: Duration = Duration::from_secs(2);
const BATCH_MAX: i64 = 16;
/// When a link that could not be mailed comes up again; longer than one try may take.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);

/// The shop's pages to which links lead.
pub(crate) struct Pages {
    /// Takes the new password.
    pub(crate) password_reset: String,
    pub(crate) email_change: String,
}

impl Pages {
    fn of(&self, purpose: LinkPurpose) -> &str {
        match purpose {
            LinkPurpose::PasswordReset => &self.password_reset,
            LinkPurpose::EmailChange | LinkPurpose::EmailRestore => &self.email_change,
        }
    }
}

/// Mails the links that were asked for. Every instance runs one; a lease keeps them from mailing the same one.
pub(crate) struct LinkMailer {
    pub(crate) pool: PgPool,
    pub(crate) clock: SharedClock,
    pub(crate) asked: Arc<Notify>,
    pub(crate) upstreams: Upstreams,
    pub(crate) tokens: InternalTokens,
    pub(crate) pages: Pages,
}

impl LinkMailer {
    pub(crate) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        loop {
            let taken = match self.batch().await {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "links that were asked for could not be read"
                    );
                    0
                }
            };
            if taken > 0 && !cancel.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = self.asked.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn batch(&self) -> anyhow::Result<usize> {
        let now = self.clock.now();
        let mut conn = self.pool.acquire().await?;
        let due = links::claim(&mut conn, now, now + AGAIN_AFTER, BATCH_MAX).await?;
        drop(conn);
        let count = due.len();
        futures::future::join_all(due.into_iter().map(|due| async move {
            let id = due.link_id;
            if let Err(error) = self.mail(due).await {
                tracing::warn!(link.id = %id, error = format!("{error:#}"), "a link was not mailed yet");
            }
        }))
        .await;
        Ok(count)
    }

    /// Whoever has no account gets no mail.
    async fn mail(&self, due: Due) -> anyhow::Result<()> {
        let mut conn = self.pool.acquire().await?;
        let left = due.expires_at - self.clock.now();
        let found = match due.user_id {
            Some(user_id) => users::find(&mut conn, user_id).await?,
            None => users::find_by_email(&mut conn, &due.email).await?,
        };
        let Some(user) = found.map(|found| found.user).filter(|_| left > TimeDelta::zero()) else {
            return Ok(links::settle(&mut conn, due.link_id).await?);
        };
        // Every try has a token of its own: that of the one before is known to nobody here any more.
        let (token, hash) = new_link_token()?;
        links::arm(&mut conn, due.link_id, user.id, hash).await?;
        drop(conn);
        let body = serde_json::json!({
            "message_id": due.link_id,
            "customer_id": user.id,
            "email": due.email,
            "purpose": due.purpose.mail(),
            // After the `#`, which browsers send to no server: it stands in no access log and in no Referer.
            "link": format!("{}#token={token}", self.pages.of(due.purpose)),
            "minutes": (left + TimeDelta::seconds(59)).num_minutes(),
        });
        let authorization = self.tokens.service_token(Service::Notification)?;
        let status = self
            .upstreams
            .post_own(
                Service::Notification,
                PATH,
                &authorization,
                body.to_string().into(),
            )
            .await
            .context("the notification service")?;
        anyhow::ensure!(
            !status.is_server_error(),
            "the notification service answered {status}"
        );
        let mut conn = self.pool.acquire().await?;
        links::settle(&mut conn, due.link_id).await?;
        let purpose = due.purpose.as_str();
        if status.is_success() {
            tracing::info!(link.id = %due.link_id, user.id = %user.id, link.purpose = purpose, "a link was mailed");
        } else {
            tracing::warn!(link.id = %due.link_id, user.id = %user.id, link.purpose = purpose, %status, "a link cannot be mailed");
        }
        Ok(())
    }
}
