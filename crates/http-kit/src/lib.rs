//! HTTP as every service speaks it: the server's start and end, problem+json, identity, request ids,
//! traces, health, and the client for calls between services.

mod auth;
mod client;
mod cursor;
mod deadline;
mod extract;
mod failpoints;
mod health;
mod key_files;
mod lifecycle;
mod main_entry;
mod meter;
mod middleware;
mod openapi;
mod problem;
mod routes;
mod server;
pub mod sse;
mod thread_clients;
mod tls;

pub use auth::{AuthSettings, Caller, InternalClaims, Role, TokenIssuer, TokenVerifier, UserIdentity};
pub use client::{CallError, ServiceClient};
pub use cursor::{Page, PageQuery, decode_cursor, encode_cursor};
pub use deadline::{TIMEOUT_HEADER, time_left};
pub use extract::{IdempotencyKey, Json, Query, parse_id};
pub use health::{Check, Readiness};
pub use key_files::{KeyFiles, SigningKey, signing_keys};
pub use lifecycle::{Background, detached, shutdown_signal};
pub use main_entry::{ServiceMain, run_main};
pub use openapi::{BearerAuth, define_examples, document_problem, openapi_document};
pub use problem::{FieldError, Problem, ProblemBody};
pub use server::{HttpSettings, Server, ServerParts, run_service};
pub use thread_clients::ThreadClients;
pub use tls::TlsSettings;
