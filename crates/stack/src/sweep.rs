//! Temporary stacks, and what is left of those whose owner was killed before it could clean up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::builder::adopt;
use crate::layout::{Layout, remove_folder, shared_temp_folder};
use crate::os;
use crate::state::State;

/// A folder for a stack that goes when it is dropped. Sweeps away those that nobody owns any more.
pub(crate) fn new_temporary_folder() -> Result<PathBuf> {
    let parent = shared_temp_folder()?.join("stacks");
    fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
    for item in fs::read_dir(&parent).with_context(|| format!("read {}", parent.display()))? {
        let folder = item.with_context(|| format!("read {}", parent.display()))?.path();
        // Another process may be sweeping the same folder; whoever comes second finds nothing to do.
        if let Err(error) = sweep(&folder)
            && folder.exists()
        {
            eprintln!("ferrocart-stack: sweep {}: {error:#}", folder.display());
        }
    }
    let folder = tempfile::Builder::new()
        .prefix("s")
        .tempdir_in(&parent)
        .context("make a temporary folder")?;
    Ok(folder.keep())
}

fn sweep(folder: &Path) -> Result<()> {
    let Some(layout) = Layout::existing(folder)? else {
        return Ok(());
    };
    // Without a state it is being made right now, or nothing was started in it.
    let Some(state) = State::load(&layout)? else {
        return Ok(());
    };
    let Some(owner) = &state.owner else { return Ok(()) };
    if os::identity(owner.pid).as_deref() == Some(&*owner.identity) {
        return Ok(());
    }
    for (component, mut process) in adopt(&state) {
        process.discard(component)?;
    }
    for folder in state
        .outside_folder
        .iter()
        .map(PathBuf::as_path)
        .chain([layout.root()])
    {
        remove_folder(folder)?;
    }
    Ok(())
}
