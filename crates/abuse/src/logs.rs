use std::path::Path;

use anyhow::{Context as _, Result};

use crate::report::Report;
use crate::world::{CARD, NAME, PASSWORD, STREET, World};

/// Nothing that was told in confidence stands in any log, of the services or of the stores.
pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let planted = [
        ("a password", PASSWORD),
        ("a street", STREET),
        ("a name", NAME),
        ("a card number", CARD),
        ("an e-mail address", "@planted.example"),
        ("an access token", "eyJ"),
        ("the webhook secret", &world.webhook_secret),
        ("a refresh token", &world.victim.refresh_token),
        ("a private key", "PRIVATE KEY"),
    ];
    let folder = world.stack_folder.join("logs");
    let mut read = 0_usize;
    for entry in folder.read_dir().with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        read += scan(&path, &planted, report)?;
    }
    anyhow::ensure!(read > 0, "the logs in {} are empty", folder.display());
    report.note(format!("{} KiB of logs read", read / 1024));
    Ok(())
}

fn scan(path: &Path, planted: &[(&str, &str)], report: &mut Report) -> Result<usize> {
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for (what, secret) in planted {
        let found = text.lines().find(|line| line.contains(secret));
        let shown: String = found.unwrap_or_default().chars().take(400).collect();
        report.check(&format!("{what} in {name}"), found.is_none(), shown);
    }
    Ok(text.len())
}
