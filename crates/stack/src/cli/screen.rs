//! What a person sees when the platform runs.

use std::time::Duration;

use anyhow::Result;
use ferrocart_stack::{Component, Service, Stack};

use super::report::readable;

pub(crate) fn show(stack: &Stack, is_whole: bool, took: Duration) -> Result<()> {
    let took = readable(took);
    println!();
    if !is_whole {
        println!("It runs (ready after {took}).");
        println!();
        for (name, url) in ferrocart_stack::urls(stack.folder())? {
            println!("  {name:<14} {url}");
        }
        println!();
        println!("Databases, once PostgreSQL runs:");
        for service in Service::ALL
            .into_iter()
            .filter(|service| service.database().is_some())
        {
            println!("  {:<14} {}", service.name(), stack.database_url(service)?);
        }
        println!();
        println!("  make down      stop it");
        return Ok(());
    }
    let gateway = stack.url(Service::Gateway);
    println!("Ferrocart runs (ready after {took}).");
    println!();
    println!("  API            {gateway}/v1");
    println!("  documentation  {gateway}/docs");
    println!();
    for service in Service::ALL
        .into_iter()
        .filter(|service| *service != Service::Gateway)
    {
        println!("  {:<14} {}", service.name(), stack.url(service));
    }
    println!("  {:<14} {}", "provider", stack.url(Component::PspSandbox));
    println!("  {:<14} {}", "Kafka", stack.kafka_brokers());
    println!("  {:<14} {}", "e-mails", stack.mail_dir().display());
    println!();
    println!("Sample accounts (also in {}):", stack.accounts_file().display());
    for account in stack.accounts() {
        println!(
            "  {:<10} {:<24} {}",
            account.role, account.email, account.password
        );
    }
    println!();
    println!("Try next:");
    println!("  make demo      buy something, step by step");
    println!("  curl '{gateway}/v1/search?q=waterproof+shoe&limit=3'");
    println!("  make status    what runs");
    println!("  make logs      what it says (make logs C=order for one)");
    println!("  make down      stop it all");
    Ok(())
}
