use super::{Channel, Kind, Locale, Phone};

/// How far a customer may decide whether something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Belongs to the purchase: always sent.
    Required,
    Optional {
        /// While the customer has said nothing.
        by_default: bool,
    },
}

impl Kind {
    pub(crate) const fn standing(self, channel: Channel) -> Standing {
        match (channel, self) {
            // What was bought and what it cost: a record that the buyer is owed; or what stopped working.
            (Channel::Email, Self::Confirmed | Self::Cancelled | Self::Refunded | Self::WebhookDisabled) => {
                Standing::Required
            }
            (Channel::Email, Self::Shipped | Self::Delivered) => Standing::Optional { by_default: true },
            // Beside the e-mail, and only to those who asked for it.
            (Channel::Sms, _) => Standing::Optional { by_default: false },
        }
    }
}

/// One switch, as the customer has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) channel: Channel,
    pub(crate) kind: Kind,
    pub(crate) enabled: bool,
}

/// How a customer wants to be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    pub(crate) locale: Option<Locale>,
    /// Where messages by SMS go.
    pub(crate) phone: Option<Phone>,
    /// Where they differ from the defaults.
    pub(crate) switches: Vec<Switch>,
}

impl Preferences {
    pub(crate) fn wants(&self, channel: Channel, kind: Kind) -> bool {
        match kind.standing(channel) {
            Standing::Required => true,
            Standing::Optional { by_default } => self
                .switches
                .iter()
                .find(|switch| switch.channel == channel && switch.kind == kind)
                .map_or(by_default, |switch| switch.enabled),
        }
    }

    /// Every switch there is by these channels, and whether it may be moved.
    pub(crate) fn all(&self, channels: &[Channel]) -> impl Iterator<Item = (Switch, Standing)> {
        channels.iter().flat_map(move |&channel| {
            Kind::OF_ORDERS.into_iter().map(move |kind| {
                let enabled = self.wants(channel, kind);
                let switch = Switch {
                    channel,
                    kind,
                    enabled,
                };
                (switch, kind.standing(channel))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_purchase_needs_is_sent_and_the_rest_as_it_was_asked_for() {
        let mut wanted = Preferences::default();
        assert!(
            Kind::OF_ORDERS
                .iter()
                .all(|kind| wanted.wants(Channel::Email, *kind))
        );
        wanted.switches = Kind::OF_ORDERS
            .map(|kind| Switch {
                channel: Channel::Email,
                kind,
                enabled: false,
            })
            .to_vec();
        let sent = Kind::OF_ORDERS
            .into_iter()
            .filter(|kind| wanted.wants(Channel::Email, *kind));
        assert_eq!(
            sent.collect::<Vec<_>>(),
            [Kind::Confirmed, Kind::Cancelled, Kind::Refunded]
        );
        assert_eq!(wanted.all(&Channel::ALL).count(), 2 * Kind::OF_ORDERS.len());
        let by_sms = |wanted: &Preferences| {
            let all = Kind::OF_ORDERS.into_iter();
            all.filter(|kind| wanted.wants(Channel::Sms, *kind)).count()
        };
        assert_eq!(by_sms(&wanted), 0);
        for switch in &mut wanted.switches {
            (switch.channel, switch.enabled) = (Channel::Sms, true);
        }
        assert_eq!(by_sms(&wanted), Kind::OF_ORDERS.len());
    }
}
