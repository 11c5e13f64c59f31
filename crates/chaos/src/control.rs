//! Sets failpoints in the services that run.

use anyhow::{Context as _, Result, ensure};
use ferrocart_failpoint::{Plan, Point};
use ferrocart_stack::{Service, Stack};
use serde_json::Value;

pub(crate) struct Control {
    http: reqwest::Client,
    token: String,
}

impl Control {
    pub(crate) fn new(http: reqwest::Client, token: String) -> Self {
        Self { http, token }
    }

    fn url(stack: &Stack, service: Service) -> String {
        format!("{}/failpoints", stack.url(service))
    }

    pub(crate) async fn arm(&self, stack: &Stack, service: Service, plan: &Plan) -> Result<()> {
        let answer = self
            .http
            .put(Self::url(stack, service))
            .bearer_auth(&self.token)
            .body(plan.to_string())
            .send()
            .await
            .with_context(|| format!("set a failpoint of {service}"))?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "{service} does not take {plan}: {status}. Is it a build with failpoints?"
        );
        Ok(())
    }

    pub(crate) async fn disarm(&self, stack: &Stack, service: Service) -> Result<()> {
        self.http
            .delete(Self::url(stack, service))
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// How often the point fired since the process began.
    pub(crate) async fn fired(&self, stack: &Stack, service: Service, point: Point) -> Result<u64> {
        let answer: Value = self
            .http
            .get(Self::url(stack, service))
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let name = point.to_string();
        let points = answer["points"].as_array().context("an answer without points")?;
        let of_point = points.iter().find(|seen| seen["point"] == *name);
        Ok(of_point.and_then(|seen| seen["fired"].as_u64()).unwrap_or(0))
    }
}
