//! Benchmarks of the platform as it ships. Every figure is the median of several runs, in which all
//! contestants take turns, and stands beside the ratio to its reference of the same run.

mod alarm;
pub mod audit;
pub mod browse;
pub mod checkout;
pub mod child;
pub mod cpu;
pub mod events;
pub mod gateway;
pub mod inventory;
pub mod load;
pub mod machine;
pub mod memory;
pub mod meters;
pub mod naive;
pub mod probe;
pub mod reference;
pub mod relevance;
pub mod report;
pub mod samples;
pub mod search;
pub mod stats;
pub mod wire;
pub mod zipf;
