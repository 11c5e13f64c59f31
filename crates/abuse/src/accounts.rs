use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::Extent;
use crate::report::Report;
use crate::world::{Answer, PASSWORD, With, World, call, client, fresh};

/// How often each kind of login is timed; below the tries that an account has at once.
const TIMED: usize = 15;

pub(crate) async fn run(world: &World, extent: Extent, report: &mut Report) -> Result<()> {
    enumeration(world, extent, report).await?;
    brute_force(world, report).await?;
    distributed_guesses(world, report).await?;
    refresh_reuse(world, report).await
}

async fn log_in(world: &World, from: [u8; 2], email: &str, password: &str) -> Result<(Answer, Duration)> {
    let body = json!({ "email": email, "password": password }).to_string();
    let with = With {
        body: Some(body.as_bytes()),
        ..With::default()
    };
    let http = client(from)?;
    let began = Instant::now();
    let answer = call(&http, &world.gateway, ("POST", "/v1/auth/token"), with).await?;
    Ok((answer, began.elapsed()))
}

/// Who has an account here must be told neither by what a refused login says nor by how long it takes.
async fn enumeration(world: &World, extent: Extent, report: &mut Report) -> Result<()> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let rounds = if extent == Extent::All { TIMED } else { 3 };
    for round in 0..rounds {
        let from = [11, u8::try_from(round).unwrap_or_default() + 1];
        let nobody = format!("{}@planted.example", fresh());
        let (there, took_there) = log_in(world, from, &world.victim.email, "a wrong password").await?;
        let (not_there, took_not_there) = log_in(world, from, &nobody, "a wrong password").await?;
        let same = there.status == not_there.status
            && ["title", "detail", "code", "errors", "retryable"]
                .iter()
                .all(|member| there.json[member] == not_there.json[member]);
        report.check(
            "a refused login says who has an account",
            same,
            format!("{} / {}", there.said(), not_there.said()),
        );
        known.push(took_there);
        unknown.push(took_not_there);
    }
    let (known, unknown) = (median(known), median(unknown));
    report.note(format!("a refused login takes {known:?} where there is an account, {unknown:?} where there is none (medians of {rounds})"));
    if extent == Extent::All {
        let close = known < unknown * 2 && unknown < known * 2;
        report.check(
            "a refused login's time says who has an account",
            close,
            format!("{known:?} / {unknown:?}"),
        );
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One address may try some passwords, then it waits; and the owner still gets in from elsewhere.
async fn brute_force(world: &World, report: &mut Report) -> Result<()> {
    let http = client([12, 1])?;
    let body = |n: usize| {
        json!({ "email": world.victim.email, "password": format!("guess number {n}") }).to_string()
    };
    let tries = 200_usize;
    let bodies: Vec<String> = (0..tries).map(body).collect();
    let answers = bodies.iter().map(|body| {
        let with = With {
            body: Some(body.as_bytes()),
            ..With::default()
        };
        call(&http, &world.gateway, ("POST", "/v1/auth/token"), with)
    });
    let answers = futures::future::try_join_all(answers).await?;
    let limited = answers
        .iter()
        .filter(|answer| answer.status == 429 && answer.code == "RATE_LIMITED")
        .count();
    let in_ = answers.iter().filter(|answer| answer.status < 300).count();
    report.check(
        "200 guesses from one address",
        limited >= tries / 3 && in_ == 0,
        format!("{limited} limited, {in_} let in"),
    );
    report.note(format!(
        "of {tries} guesses at a password from one address {limited} were turned away at once"
    ));
    Ok(())
}

/// Who guesses from many addresses is held off by the account's own limit, and learns nothing by it; the owner gets in
/// from where they were before, and with a device that they had.
async fn distributed_guesses(world: &World, report: &mut Report) -> Result<()> {
    let (mut limited, mut told) = (0, Vec::new());
    let nobody = format!("{}@planted.example", fresh());
    for whose in [&world.victim.email, &nobody] {
        for n in 1..=60_u8 {
            let (answer, _) = log_in(world, [13, n], whose, &format!("guess number {n}")).await?;
            limited += usize::from(answer.status == 429);
            if n == 60 {
                told.push(answer);
            }
        }
    }
    report.check(
        "60 guesses from 60 addresses, at an account and at none",
        limited >= 60,
        format!("{limited} of 120 limited"),
    );
    let same = told.windows(2).all(|pair| {
        pair[0].status == pair[1].status
            && ["code", "detail"]
                .iter()
                .all(|member| pair[0].json[member] == pair[1].json[member])
    });
    report.check(
        "the limit of guesses says who has an account",
        same,
        format!("{told:?}"),
    );
    let right = json!({ "email": world.victim.email, "password": PASSWORD });
    let mut with_device = right.clone();
    with_device["refresh_token"] = json!(world.victim.refresh_token);
    let elsewhere = client([12, 2])?;
    for (what, http, body) in [
        ("where they were before", &world.http, right),
        ("elsewhere with their device", &elsewhere, with_device),
    ] {
        let body = body.to_string();
        let with = With {
            body: Some(body.as_bytes()),
            ..With::default()
        };
        let owner = call(http, &world.gateway, ("POST", "/v1/auth/token"), with).await?;
        report.check(
            &format!("the owner gets in while many guess: {what}"),
            owner.status == 200,
            owner.said(),
        );
    }
    Ok(())
}

/// A refresh token that comes twice ends the session for both.
async fn refresh_reuse(world: &World, report: &mut Report) -> Result<()> {
    let body = json!({ "email": world.victim.email, "password": PASSWORD }).to_string();
    let with = With {
        body: Some(body.as_bytes()),
        ..With::default()
    };
    let login = call(&world.http, &world.gateway, ("POST", "/v1/auth/token"), with).await?;
    let first = login.json["refresh_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let http = client([12, 4])?;
    let refresh = async |token: &str| {
        let body = json!({ "refresh_token": token }).to_string();
        let with = With {
            body: Some(body.as_bytes()),
            ..With::default()
        };
        call(&http, &world.gateway, ("POST", "/v1/auth/refresh"), with).await
    };
    let second = refresh(&first).await?;
    let second_token = second.json["refresh_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    report.check("a refresh", second.status == 200, second.said());
    let stolen = refresh(&first).await?;
    report.check(
        "a refresh token that was used",
        stolen.status == 401,
        stolen.said(),
    );
    let after = refresh(&second_token).await?;
    report.check(
        "the session of a stolen refresh token",
        after.status == 401,
        after.said(),
    );
    Ok(())
}
