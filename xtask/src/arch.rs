use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// Reads `cargo metadata` and refuses the edges that the layout forbids: a service that depends on a
/// service, a crate that depends on a service, and anything but a test that depends on test-kit.
pub(crate) fn run() -> anyhow::Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let is_service = |name: &str| {
        packages.iter().any(|package| {
            package["name"] == name
                && package["manifest_path"]
                    .as_str()
                    .is_some_and(|path| path.contains("/services/"))
        })
    };
    let mut forbidden = Vec::new();
    let mut edges = 0_usize;
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if dependency["path"].is_null() {
                continue;
            }
            edges += 1;
            let for_tests_only = dependency["kind"] == "dev";
            if is_service(to) && !for_tests_only {
                forbidden.push(format!("{from} -> {to}: nothing may depend on a service"));
            }
            if is_service(to) && is_service(from) {
                forbidden.push(format!("{from} -> {to}: services meet over HTTP and Kafka alone"));
            }
            if to == "ferrocart-test-kit" && !for_tests_only {
                forbidden.push(format!("{from} -> {to}: test-kit is for tests"));
            }
        }
    }
    if !forbidden.is_empty() {
        bail!("forbidden dependencies:\n  {}", forbidden.join("\n  "));
    }
    println!("arch: {} packages, {edges} edges, none forbidden", packages.len());
    Ok(())
}
