//! Which port each component listens on: fixed ones for people, free ones for tests.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

use crate::component::Component;
use crate::layout;

const KAFKA_CONTROLLER_VARIABLE: &str = "FERROCART_KAFKA_CONTROLLER_PORT";
const KAFKA_CONTROLLER_DEFAULT: u16 = 9095;
const OFFSET_VARIABLE: &str = "FERROCART_PORT_OFFSET";

/// Free ports come from below the range from which Linux and macOS take the ports of outgoing connections, so
/// that a component which is down for a moment does not find its port in use by somebody's client socket.
const SLOT_FIRST_PORT: u16 = 15_000;
const SLOT_SIZE: u16 = 16;
const SLOT_COUNT: u16 = 1_100;

/// How a stack gets its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Any that are free: for tests, many stacks side by side.
    Free,
    /// These.
    Fixed(PortPlan),
}

/// The port of each component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPlan {
    ports: BTreeMap<Component, u16>,
    kafka_controller: u16,
}

impl Default for PortPlan {
    fn default() -> Self {
        let ports = Component::all()
            .into_iter()
            .map(|component| (component, component.default_port()))
            .collect();
        Self {
            ports,
            kafka_controller: KAFKA_CONTROLLER_DEFAULT,
        }
    }
}

impl PortPlan {
    /// The defaults, moved by `FERROCART_PORT_OFFSET` and by `FERROCART_<COMPONENT>_PORT`, which wins.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self> {
        let number = |name: &str| -> Result<Option<u16>> {
            variables
                .get(name)
                .filter(|value| !value.is_empty())
                .map(|value| {
                    value
                        .parse()
                        .with_context(|| format!("{name}={value} is not a port number"))
                })
                .transpose()
        };
        let offset = number(OFFSET_VARIABLE)?.unwrap_or(0);
        let moved = |default: u16| {
            default
                .checked_add(offset)
                .with_context(|| format!("{OFFSET_VARIABLE}={offset} moves port {default} past 65535"))
        };
        let mut plan = Self::default();
        for (component, port) in &mut plan.ports {
            *port = match number(&component.port_variable())? {
                Some(given) => given,
                None => moved(*port)?,
            };
        }
        plan.kafka_controller = match number(KAFKA_CONTROLLER_VARIABLE)? {
            Some(given) => given,
            None => moved(KAFKA_CONTROLLER_DEFAULT)?,
        };
        plan.refuse_duplicates()?;
        Ok(plan)
    }

    fn refuse_duplicates(&self) -> Result<()> {
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        let controller = (self.kafka_controller, KAFKA_CONTROLLER_VARIABLE.to_owned());
        let named = self
            .ports
            .iter()
            .map(|(component, port)| (*port, component.port_variable()));
        for (port, variable) in named.chain([controller]) {
            if let Some(other) = owners.insert(port, variable.clone()) {
                bail!("{other} and {variable} are both {port}; each component needs a port of its own");
            }
        }
        Ok(())
    }

    fn in_slot(slot: u16) -> Self {
        let first = SLOT_FIRST_PORT + slot * SLOT_SIZE;
        let components = Component::all();
        let ports: BTreeMap<_, _> = components.into_iter().zip(first..).collect();
        let kafka_controller = first + SLOT_SIZE - 1;
        Self {
            ports,
            kafka_controller,
        }
    }

    pub fn port(&self, component: Component) -> u16 {
        // Every constructor fills in every component.
        self.ports
            .get(&component)
            .copied()
            .unwrap_or_else(|| component.default_port())
    }

    #[must_use]
    pub fn with_port(mut self, component: impl Into<Component>, port: u16) -> Self {
        self.ports.insert(component.into(), port);
        self
    }

    pub(crate) fn kafka_controller(&self) -> u16 {
        self.kafka_controller
    }

    /// The ports that a component listens on, each with the variable that moves it.
    fn listens_on(&self, component: Component) -> Vec<(u16, String)> {
        let mut ports = vec![(self.port(component), component.port_variable())];
        if component == Component::Kafka {
            ports.push((self.kafka_controller, KAFKA_CONTROLLER_VARIABLE.to_owned()));
        }
        ports
    }

    /// Fails with one line for each port among those of `components` that another program holds.
    pub(crate) fn refuse_taken(&self, components: &[Component]) -> Result<()> {
        let mut lines = Vec::new();
        for component in components {
            for (port, variable) in self.listens_on(*component) {
                if is_taken(port) {
                    lines.push(format!(
                        "port {port}, which {component} needs, is taken by another program; free it or set {variable}"
                    ));
                }
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        lines.push(format!(
            "({OFFSET_VARIABLE}=1000 moves all ports of the stack by 1000)"
        ));
        bail!("{}", lines.join("\n"));
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// A block of ports that this process holds as long as the value lives: other processes see its lock.
#[derive(Debug)]
pub(crate) struct PortSlot {
    _lock: File,
}

impl PortSlot {
    pub(crate) fn take() -> Result<(Self, PortPlan)> {
        let folder = layout::shared_temp_folder()?.join("ports");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        // Where to begin: spread by the process id, so that processes seldom try the same slots.
        let begin = std::process::id() % u32::from(SLOT_COUNT);
        let begin = u16::try_from(begin).unwrap_or(0);
        for step in 0..SLOT_COUNT {
            let slot = (begin + step) % SLOT_COUNT;
            let path = folder.join(slot.to_string());
            let lock = File::create(&path).with_context(|| format!("open {}", path.display()))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
            }
            let plan = PortPlan::in_slot(slot);
            if plan.refuse_taken(&Component::all()).is_ok() {
                return Ok((Self { _lock: lock }, plan));
            }
        }
        bail!("no block of {SLOT_SIZE} free ports between {SLOT_FIRST_PORT} and 32600");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Service;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_variable_of_its_own_wins_over_the_offset() {
        let plan = PortPlan::from_variables(&variables(&[
            ("FERROCART_PORT_OFFSET", "1000"),
            ("FERROCART_GATEWAY_PORT", "80"),
        ]))
        .unwrap();
        assert_eq!(plan.port(Service::Gateway.into()), 80);
        assert_eq!(plan.port(Service::Catalog.into()), 9081);
        assert_eq!(plan.kafka_controller(), 10_095);
    }

    #[test]
    fn two_components_on_one_port_are_refused_by_name() {
        let error = PortPlan::from_variables(&variables(&[("FERROCART_GATEWAY_PORT", "8081")])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("FERROCART_GATEWAY_PORT") && text.contains("FERROCART_CATALOG_PORT"),
            "{text}"
        );
    }

    #[test]
    fn slots_never_overlap_and_stay_below_the_ephemeral_range() {
        let last = PortPlan::in_slot(SLOT_COUNT - 1);
        assert!(last.kafka_controller() < 32_768);
        let first = PortPlan::in_slot(0);
        assert!(first.ports.values().all(|port| *port < first.kafka_controller()));
        assert!(
            PortPlan::in_slot(1)
                .ports
                .values()
                .all(|port| *port > first.kafka_controller())
        );
    }

    #[test]
    fn two_slots_held_at_once_differ() {
        let (_one, first) = PortSlot::take().unwrap();
        let (_two, second) = PortSlot::take().unwrap();
        assert_ne!(first, second);
    }
}
