//! What a test does to one process of a stack.

use std::path::PathBuf;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::component::Component;
use crate::process::Running;
use crate::stack::{Stack, locked};

/// One process of a stack; see [`Stack::process`].
pub struct ProcessHandle<'a> {
    stack: &'a Stack,
    component: Component,
}

impl Stack {
    pub fn process(&self, component: impl Into<Component>) -> ProcessHandle<'_> {
        ProcessHandle {
            stack: self,
            component: component.into(),
        }
    }
}

impl ProcessHandle<'_> {
    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Result<()> {
        self.stack.start(self.component).await
    }

    /// Asks it to end and waits until it has; kills it when it takes longer than its drain.
    pub async fn stop(&self) -> Result<()> {
        self.stack.stop(self.component).await
    }

    /// Stops it, if it runs, and starts it again: on the same port, with the same data.
    pub async fn restart(&self) -> Result<()> {
        self.stack.stop(self.component).await?;
        self.stack.start(self.component).await
    }

    /// `kill -9` for the process and its children; returns when they are gone.
    pub fn kill9(&self) -> Result<()> {
        self.stack.with_running(self.component, Running::kill_now)
    }

    /// Halts it and its children where they are: connections stay open, and nobody answers.
    pub fn pause(&self) -> Result<()> {
        self.stack.with_running(self.component, |process| {
            process.signal_family(Signal::SIGSTOP).map(drop)
        })
    }

    pub fn resume(&self) -> Result<()> {
        self.stack.with_running(self.component, |process| {
            process.signal_family(Signal::SIGCONT).map(drop)
        })
    }

    /// Waits until it is ready: after [`ProcessHandle::resume`], or when something it needs is back.
    pub async fn wait_ready(&self) -> Result<()> {
        self.stack.wait_ready(self.component).await
    }

    /// A paused process runs too.
    pub fn is_running(&self) -> bool {
        self.stack.is_alive(self.component)
    }

    pub fn pid(&self) -> Option<i32> {
        let mut running = locked(&self.stack.running);
        let process = running.get_mut(&self.component)?;
        process.is_alive().then_some(process.id.pid)
    }

    pub fn log_path(&self) -> PathBuf {
        self.stack.log_path(self.component)
    }
}
