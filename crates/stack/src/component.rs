//! What a stack consists of: the stores, the payment provider's sandbox and the eight services.

use std::fmt;

/// One of the eight services of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Gateway,
    Catalog,
    Search,
    Cart,
    Inventory,
    Order,
    Payment,
    Notification,
}

impl Service {
    pub const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Catalog,
        Self::Search,
        Self::Cart,
        Self::Inventory,
        Self::Order,
        Self::Payment,
        Self::Notification,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Catalog => "catalog",
            Self::Search => "search",
            Self::Cart => "cart",
            Self::Inventory => "inventory",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Notification => "notification",
        }
    }

    /// The service's own database, which is also the name of its role; `None` where PostgreSQL is not its store.
    pub fn database(self) -> Option<&'static str> {
        match self {
            Self::Gateway => Some("identity"),
            Self::Catalog => Some("catalog"),
            Self::Inventory => Some("inventory"),
            Self::Order => Some("orders"),
            Self::Payment => Some("payments"),
            Self::Notification => Some("notifications"),
            Self::Search | Self::Cart => None,
        }
    }

    pub(crate) fn uses_redis(self) -> bool {
        matches!(
            self,
            Self::Gateway | Self::Catalog | Self::Search | Self::Cart | Self::Inventory | Self::Order
        )
    }

    /// The neighbours whose addresses this service is given.
    pub(crate) fn calls(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[
                Self::Catalog,
                Self::Search,
                Self::Cart,
                Self::Inventory,
                Self::Order,
                Self::Payment,
                Self::Notification,
            ],
            Self::Order => &[Self::Cart, Self::Catalog, Self::Inventory, Self::Payment],
            Self::Cart => &[Self::Catalog, Self::Inventory],
            Self::Inventory => &[Self::Catalog],
            Self::Catalog | Self::Search | Self::Payment | Self::Notification => &[],
        }
    }

    /// The setting by which the others learn this service's address.
    pub(crate) fn url_variable(self) -> String {
        format!("{}_URL", self.name().to_uppercase())
    }

    pub fn binary(self) -> String {
        format!("ferrocart-{}", self.name())
    }
}

/// One process of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    Postgres,
    /// A cache, limits, counters: it keeps nothing.
    Redis,
    /// The carts, which it keeps.
    RedisCart,
    Kafka,
    PspSandbox,
    Service(Service),
}

impl From<Service> for Component {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Component {
    pub const STORES: [Self; 4] = [Self::Postgres, Self::Redis, Self::RedisCart, Self::Kafka];

    /// All components, in the order in which they start.
    pub fn all() -> Vec<Self> {
        let mut all = Self::STORES.to_vec();
        all.push(Self::PspSandbox);
        all.extend(Service::ALL.map(Self::Service));
        all
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|component| component.name() == name)
    }

    /// Short, lower case: used for log files, in the state file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RedisCart => "redis-cart",
            Self::Kafka => "kafka",
            Self::PspSandbox => "psp-sandbox",
            Self::Service(service) => service.name(),
        }
    }

    /// The variable that moves this component's port.
    pub fn port_variable(self) -> String {
        let name = match self {
            Self::PspSandbox => "psp",
            other => other.name(),
        };
        format!("FERROCART_{}_PORT", name.to_uppercase().replace('-', "_"))
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5440,
            Self::Redis => 6390,
            Self::RedisCart => 6391,
            Self::Kafka => 9094,
            Self::PspSandbox => 8090,
            Self::Service(Service::Gateway) => 8080,
            Self::Service(Service::Catalog) => 8081,
            Self::Service(Service::Search) => 8082,
            Self::Service(Service::Cart) => 8083,
            Self::Service(Service::Inventory) => 8084,
            Self::Service(Service::Order) => 8085,
            Self::Service(Service::Payment) => 8086,
            Self::Service(Service::Notification) => 8087,
        }
    }
}

/// Which components a stack starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Components {
    /// PostgreSQL, both Redis servers and Kafka.
    Stores,
    /// The stores, the payment provider's sandbox and all services.
    All,
    /// Exactly these. What they need must be among them, or given by URL.
    Of(Vec<Component>),
}

impl Components {
    pub(crate) fn list(&self) -> Vec<Component> {
        match self {
            Self::Stores => Component::STORES.to_vec(),
            Self::All => Component::all(),
            Self::Of(some) => {
                let mut list = some.clone();
                list.sort_unstable();
                list.dedup();
                list
            }
        }
    }
}
