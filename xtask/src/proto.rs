use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const CODE: &str = "ferrocart.events.v1.rs";
/// For those who decode events without generated code; see `ferrocart_contracts::DESCRIPTORS`.
const DESCRIPTORS: &str = "ferrocart.events.v1.binpb";

/// Compiles the contracts without `protoc`, so that building needs no further tool.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the workspace's root")?;
    let committed = root.join("crates/contracts/src/gen");
    let scratch = root.join("target/xtask-proto");
    fs::create_dir_all(&scratch)?;
    let files = proto_files(&root.join("proto"))?;
    let mut compiler = protox::Compiler::new([root.join("proto")])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    fs::write(scratch.join(DESCRIPTORS), compiler.encode_file_descriptor_set())?;
    prost_build::Config::new()
        .out_dir(&scratch)
        .btree_map(["."])
        .compile_fds(compiler.file_descriptor_set())
        .context("generating the Rust code")?;
    for name in [CODE, DESCRIPTORS] {
        let (fresh, target) = (fs::read(scratch.join(name))?, committed.join(name));
        if fs::read(&target).is_ok_and(|old| old == fresh) {
            continue;
        }
        if check {
            bail!(
                "{} differs from what proto/ gives: run `cargo xtask proto`",
                target.display()
            );
        }
        fs::create_dir_all(&committed)?;
        fs::write(&target, fresh)?;
        println!("proto: wrote {}", target.display());
    }
    println!(
        "proto: {} files, what is generated from them is up to date",
        files.len()
    );
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
