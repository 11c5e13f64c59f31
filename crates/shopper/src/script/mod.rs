//! The steps, chapter by chapter. What one step learns, the next ones take as values.

mod arrive;
mod browse;
mod buy;
mod fulfil;
mod mails;
mod provider;
mod refusals;
mod trouble;
mod webhooks;

use std::future::Future;
use std::time::{Duration, Instant};

use crate::Options;
use crate::api::Api;
use crate::mail::MailDir;
use crate::receiver::Receiver;
use crate::report::{Failure, Report, Reporter, Step, StepReport, Unmet};
use crate::shop::Shop;

/// What a step hands on, and what it says.
pub(crate) struct Told<T> {
    value: T,
    detail: String,
    notes: Vec<String>,
}

impl<T> Told<T> {
    fn new(value: T, detail: impl Into<String>) -> Self {
        Self {
            value,
            detail: detail.into(),
            notes: Vec::new(),
        }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

type Outcome<T> = Result<Told<T>, Unmet>;

struct Script<'a, R> {
    shop: &'a Shop<'a>,
    reporter: &'a mut R,
    report: Report,
}

impl<R: Reporter> Script<'_, R> {
    async fn step<T>(&mut self, step: Step, work: impl Future<Output = Outcome<T>>) -> Result<T, Failure> {
        self.reporter.started(step);
        let begin = Instant::now();
        let outcome = work.await;
        let duration = begin.elapsed();
        let calls = self.shop.api.take_calls();
        match outcome {
            Ok(Told { value, detail, notes }) => {
                let report = StepReport {
                    step,
                    detail,
                    notes,
                    duration,
                    calls,
                };
                self.reporter.finished(&report);
                self.report.steps.push(report);
                Ok(value)
            }
            Err(unmet) => Err(self.fail(step, unmet, duration)),
        }
    }

    fn fail(&mut self, step: Step, unmet: Unmet, duration: Duration) -> Failure {
        let report = Box::new(std::mem::take(&mut self.report));
        let failure = Failure {
            step,
            unmet,
            duration,
            report,
        };
        self.reporter.failed(&failure);
        failure
    }
}

/// Shops. The first expectation that is not met ends it.
pub async fn run(options: &Options, reporter: &mut impl Reporter) -> Result<Report, Failure> {
    let begin = async {
        let api = Api::new(&options.gateway_url, options.step_timeout)?;
        Ok::<_, Unmet>((api, Receiver::bind().await?))
    };
    let (api, receiver) = begin.await.map_err(|unmet| {
        let failure = Failure {
            step: Step::Register,
            unmet,
            duration: Duration::ZERO,
            report: Box::default(),
        };
        reporter.failed(&failure);
        failure
    })?;
    let shop = Shop {
        api: &api,
        options,
        mails: MailDir::from_now_on(options.mail_dir.clone()),
        webhooks: &receiver,
    };
    tokio::select! {
        outcome = chapters(&shop, reporter) => outcome,
        never = receiver.serve() => match never {},
    }
}

async fn chapters(shop: &Shop<'_>, reporter: &mut impl Reporter) -> Result<Report, Failure> {
    let mut script = Script {
        shop,
        reporter,
        report: Report::default(),
    };
    let people = arrive::chapter(&mut script).await?;
    let goods = browse::chapter(&mut script, &people).await?;
    let mut purchase = buy::chapter(&mut script, &people, &goods).await?;
    fulfil::chapter(&mut script, &people, &goods, &mut purchase).await?;
    let trouble = trouble::chapter(&mut script, &people, &goods).await?;
    refusals::chapter(&mut script, &people, &goods, &purchase, &trouble).await?;
    Ok(script.report)
}
