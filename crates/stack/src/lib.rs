//! Brings the platform up on one machine as native processes: for `make run`, for tests, benchmarks and chaos.
//!
//! ```no_run
//! use ferrocart_stack::{Component, Components, Service, Stack};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let stack = Stack::builder().components(Components::All).binaries("target/debug").start().await?;
//! let gateway = stack.url(Service::Gateway);
//! stack.process(Service::Order).kill9()?;
//! stack.process(Service::Order).start().await?;
//! stack.process(Component::Redis).pause()?;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod builder;
mod catalog;
mod component;
mod folder;
mod handle;
mod kafka;
mod keys;
mod layout;
mod lifecycle;
mod os;
mod ports;
mod postgres;
mod process;
mod progress;
mod ready;
mod redis;
mod service;
mod stack;
mod state;
mod sweep;
mod tools;

pub use builder::{Builder, External};
pub use component::{Component, Components, Service};
pub use folder::{ComponentStatus, Stores, down, status, stores, urls, wipe};
pub use handle::ProcessHandle;
pub use keys::Account;
pub use ports::{PortPlan, Ports};
pub use progress::{Progress, Silent};
pub use stack::Stack;
