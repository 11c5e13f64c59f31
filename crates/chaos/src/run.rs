//! The cases, one after the other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::case::{Case, Kind};
use crate::duplicates;
use crate::platform::{Nurse, Platform};
use crate::report::{Outcome, Report};
use crate::scenario::{Cast, Scenario};
use crate::settle::{self, FINAL_WITHIN};
use crate::storm::Storm;
use crate::timing::Timing;

/// A consumer may have to wait for the session of its killed predecessor to end.
const FIRES_WITHIN: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub struct Options {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    pub selection: Selection,
    pub timing: Timing,
    /// Where the services' binaries are; without it where the stack looks for them.
    pub binaries: Option<PathBuf>,
    /// Where the stack's data and logs stay; a temporary one without it.
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub enum Selection {
    All,
    /// One case of each service and kind.
    Few,
    /// The cases whose name contains this.
    Only(String),
    Storm(Storm),
}

/// Brings the platform up, breaks it, and says what came of it. An error means that it could not be tried.
pub async fn run(options: &Options, mut say: impl FnMut(&str)) -> Result<Report> {
    let mut chance = ChaCha8Rng::seed_from_u64(options.seed);
    if let Selection::Storm(storm) = &options.selection {
        return storm.run(options, &mut chance, &mut say).await;
    }
    let cases = select(&options.selection, &mut chance)?;
    let platform = Platform::start(options, None).await?;
    say(&format!("the platform is up; {} cases", cases.len()));
    let mut report = Report::default();
    for (number, case) in (1..).zip(&cases) {
        let outcome = try_case(&platform, options.timing, *case, &mut chance).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome {
            case: *case,
            fired: true,
            took: Duration::ZERO,
            violations: vec![format!("{error:#}")],
        });
        say(&line(number, cases.len(), &outcome));
        report.outcomes.push(outcome);
    }
    let what = format!("{} duplicates at once", duplicates::COUNT);
    let violations = duplicates::check(&platform, &mut chance).await?;
    say(&format!("{what}: {} violations", violations.len()));
    report.others.push((what, violations));
    Ok(report)
}

fn select(selection: &Selection, chance: &mut ChaCha8Rng) -> Result<Vec<Case>> {
    let cases = match selection {
        Selection::All => {
            let mut cases = Case::all()?;
            cases.shuffle(chance);
            cases
        }
        Selection::Few => Case::few(chance)?,
        Selection::Only(part) => {
            let mut cases = Case::all()?;
            cases.retain(|case| case.to_string().contains(part));
            ensure!(!cases.is_empty(), "no case has {part:?} in its name");
            cases
        }
        Selection::Storm(_) => Vec::new(),
    };
    Ok(cases)
}

async fn try_case(
    platform: &Platform,
    timing: Timing,
    case: Case,
    chance: &mut ChaCha8Rng,
) -> Result<Outcome> {
    let cast = Cast::prepare(Scenario::reaching(case.point.site), platform, chance).await?;
    let nurse = Nurse::watch(&platform.stack);
    let before = fired(platform, case, &nurse).await?;
    platform
        .control
        .arm(&platform.stack, case.service, &case.plan(timing))
        .await?;
    let began = Instant::now();
    let mut violations = Vec::new();
    let orders = match cast.act().await {
        Ok(orders) => orders,
        Err(error) => {
            violations.push(format!("{error:#}"));
            Vec::new()
        }
    };
    let has_fired = until_fired(platform, case, &nurse, before).await?;
    // A delay is over when its time is.
    let within = match case.kind {
        Kind::Timeout => FINAL_WITHIN + timing.too_long(case.point.site),
        _ => FINAL_WITHIN,
    };
    if let Err(left) = settle::until_final(platform, within.saturating_sub(began.elapsed())).await? {
        violations.push(format!("not final within {within:?}: {left}"));
    }
    let took = began.elapsed();
    if let Err(error) = cast.arrived(&orders).await {
        violations.push(format!("{error:#}"));
    }
    for finding in settle::findings(platform).await? {
        violations.push(format!(
            "{}\n    {}",
            finding.violation,
            finding.history.join("\n    ")
        ));
    }
    if !has_fired {
        platform.control.disarm(&platform.stack, case.service).await?;
    }
    Ok(Outcome {
        case,
        fired: has_fired,
        took,
        violations,
    })
}

/// A process that is killed forgets what fired in it: its death tells.
async fn fired(platform: &Platform, case: Case, nurse: &Nurse) -> Result<u64> {
    if case.kind == Kind::Kill {
        return Ok(nurse.deaths());
    }
    platform
        .control
        .fired(&platform.stack, case.service, case.point)
        .await
}

async fn until_fired(platform: &Platform, case: Case, nurse: &Nurse, before: u64) -> Result<bool> {
    let began = Instant::now();
    loop {
        if fired(platform, case, nurse).await? > before {
            return Ok(true);
        }
        if began.elapsed() > FIRES_WITHIN {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn line(number: usize, of: usize, outcome: &Outcome) -> String {
    let ms = outcome.took.as_millis();
    let came = match (outcome.fired, outcome.violations.len()) {
        (false, _) => "NEVER FIRED".to_owned(),
        (true, 0) => "held".to_owned(),
        (true, count) => format!("{count} VIOLATIONS: {}", outcome.violations.join("; ")),
    };
    format!("[{number:>3}/{of}] {:<52} {ms:>6} ms  {came}", outcome.case)
}
