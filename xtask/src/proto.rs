use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Compiles the contracts without `protoc`, so that building needs no further tool.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's root")?;
    let target = root.join("crates/contracts/src/gen/ferrocart.events.v1.rs");
    let scratch = root.join("target/xtask-proto");
    fs::create_dir_all(&scratch)?;
    let files = proto_files(&root.join("proto"))?;
    let descriptors = protox::compile(&files, [root.join("proto")])?;
    prost_build::Config::new()
        .out_dir(&scratch)
        .btree_map(["."])
        .compile_fds(descriptors)
        .context("generating the Rust code")?;
    let fresh = fs::read_to_string(scratch.join("ferrocart.events.v1.rs"))?;
    let committed = fs::read_to_string(&target).unwrap_or_default();
    if fresh == committed {
        println!("proto: {} files, generated code is up to date", files.len());
        return Ok(());
    }
    if check {
        bail!(
            "{} differs from what proto/ gives: run `cargo xtask proto`",
            target.display()
        );
    }
    fs::create_dir_all(target.parent().context("a folder")?)?;
    fs::write(&target, fresh)?;
    println!("proto: wrote {}", target.display());
    Ok(())
}

fn proto_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
