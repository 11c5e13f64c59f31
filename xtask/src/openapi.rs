use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

const SERVICES: [&str; 7] = [
    "catalog",
    "search",
    "cart",
    "inventory",
    "order",
    "payment",
    "notification",
];
const CURRENT: &str = "docs/openapi.json";
const RELEASED: &str = "docs/openapi-released.json";

/// Writes the public document as the gateway serves it, or with `check` only says whether the committed one is it.
pub(crate) fn run(check: bool, release: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's root")?;
    let fresh = public_document(root)?;
    let target = root.join(CURRENT);
    let committed = fs::read_to_string(&target).unwrap_or_default();
    sound(root, &serde_json::from_str(&fresh).context("the document")?)?;
    if check {
        ensure!(
            fresh == committed,
            "{CURRENT} is not what the services document: run `cargo xtask openapi`"
        );
        println!("openapi: {CURRENT} is up to date");
        return Ok(());
    }
    fs::write(&target, &fresh)?;
    println!("openapi: wrote {CURRENT}");
    if release {
        fs::write(root.join(RELEASED), &fresh)?;
        println!("openapi: wrote {RELEASED}: from now on nothing in it may break");
    }
    Ok(())
}

/// Every reference leads somewhere, every call has a name of its own, and every code is explained in docs/errors.md.
fn sound(root: &Path, document: &Value) -> anyhow::Result<()> {
    let mut lost = BTreeSet::new();
    references(document, &mut |target| {
        let place = target
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer));
        if place.is_none() {
            lost.insert(target.to_owned());
        }
    });
    ensure!(lost.is_empty(), "references that lead nowhere: {lost:?}");
    let mut named = BTreeSet::new();
    let items = document["paths"].as_object().context("paths")?;
    for operation in items
        .values()
        .filter_map(Value::as_object)
        .flat_map(|item| item.values())
    {
        if let Some(name) = operation["operationId"].as_str() {
            ensure!(named.insert(name), "two calls have the operationId {name}");
        }
    }
    let explained = fs::read_to_string(root.join("docs/errors.md"))?;
    let words: BTreeSet<&str> = explained
        .split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
        .collect();
    let codes = document["components"]["examples"]
        .as_object()
        .context("examples")?;
    let unknown: Vec<&String> = codes
        .keys()
        .filter(|code| !words.contains(code.as_str()))
        .collect();
    ensure!(
        unknown.is_empty(),
        "codes that docs/errors.md does not explain: {unknown:?}"
    );
    Ok(())
}

fn references(value: &Value, seen: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                seen(target);
            }
            members.values().for_each(|member| references(member, seen));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, seen)),
        _ => {}
    }
}

fn public_document(root: &Path) -> anyhow::Result<String> {
    // As `make test` builds them: another selection of packages would compile their dependencies again.
    let mut build = Command::new("cargo");
    run_here(root, build.args(["build", "--quiet", "--workspace", "--bins"]))?;
    let folder = root.join("target/xtask-openapi");
    fs::create_dir_all(&folder)?;
    let binary = |name: &str| root.join(format!("target/debug/ferrocart-{name}"));
    for service in SERVICES {
        let document = run_here(root, Command::new(binary(service)).arg("openapi"))?;
        fs::write(folder.join(format!("{service}.json")), document)?;
    }
    let mut gateway = Command::new(binary("gateway"));
    run_here(root, gateway.args(["openapi", "--with"]).arg(&folder))
}

fn run_here(root: &Path, command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    String::from_utf8(output.stdout).context("the output")
}
