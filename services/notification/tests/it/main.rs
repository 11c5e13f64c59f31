//! The notification service on a real PostgreSQL, a real broker and a mail server that speaks SMTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod delivery;
mod emails;
mod endpoints;
mod links;
mod merchant;
mod preferences;
mod process;
mod python;
mod reader;
mod receiver;
mod sms;
mod sms_server;
mod smtp;
mod smtp_server;
mod support;
mod webhooks;
