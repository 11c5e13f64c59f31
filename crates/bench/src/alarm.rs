//! Waiting for a moment, exactly.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// tokio's own timers count in milliseconds, which is longer than many an answer that is to be timed.
pub(crate) struct Alarm {
    timer: TimerFd,
    rings: AsyncFd<OwnedFd>,
}

impl Alarm {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; an OwnedFd keeps to what that asks for"
    )]
    pub(crate) fn new() -> Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("a timer")?;
        let same = std::os::fd::AsFd::as_fd(&timer)
            .try_clone_to_owned()
            .context("a timer")?;
        Ok(Self {
            timer,
            rings: AsyncFd::new(same).context("a timer")?,
        })
    }

    pub(crate) async fn wait_until(&self, due: Instant) -> Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left < Duration::from_micros(1) {
                return Ok(());
            }
            let once = Expiration::OneShot(TimeSpec::from_duration(left));
            self.timer
                .set(once, TimerSetTimeFlags::empty())
                .context("set a timer")?;
            let mut rings = self.rings.readable().await.context("wait for a timer")?;
            rings.clear_ready();
        }
    }
}
