//! What a rule compares with: written in the configuration, or held in a file that is read again.
//!
//! `config` makes these and puts in what a file says now; `condition` looks into them at every
//! request, without a lock. Must never be seen half-changed: what a file says is swapped whole.

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use std::net::IpAddr;
use std::sync::Arc;

/// A set of values: one that stays, or what a file says.
#[derive(Clone, Debug)]
pub enum Listed<T> {
    /// Written in the configuration.
    Here(Arc<T>),
    /// Of a file.
    File {
        /// Which.
        path: Arc<str>,
        /// What it says; whoever reads it again swaps the other end.
        held: Arc<ArcSwap<T>>,
    },
}

impl<T> Listed<T> {
    /// One that stays as it is.
    pub fn here(values: T) -> Self {
        Self::Here(Arc::new(values))
    }

    /// Whether it can become another while the program runs.
    pub fn changes(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// What it is for good; nothing where it can become another.
    pub(crate) fn for_good(&self) -> Option<&T> {
        match self {
            Self::Here(values) => Some(values),
            Self::File { .. } => None,
        }
    }

    /// Looks at what it holds now.
    pub(in crate::gate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        match self {
            Self::Here(values) => look(values),
            Self::File { held, .. } => look(&held.load()),
        }
    }
}

/// Two are the same where they always will be: what two files say today tells nothing of tomorrow.
impl<T: PartialEq> PartialEq for Listed<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(one), Self::Here(two)) => Arc::ptr_eq(one, two) || one == two,
            (Self::File { held: one, .. }, Self::File { held: two, .. }) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl<T: Eq> Eq for Listed<T> {}

/// Networks, as ranges of addresses in their order, none of which touches the next: however many
/// there are, an address is looked up by halving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Whether an address is in one of them. An IPv4 address in the clothes of IPv6
    /// (`::ffff:192.0.2.7`, RFC 4291 §2.5.5.2) is the IPv4 address.
    pub fn hold(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_within(&self.v6, address.to_bits()),
        }
    }
}

impl Networks {
    /// How many ranges there are.
    pub(in crate::gate) fn count(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// As one writes them: networks, and addresses alone.
    pub(in crate::gate) fn says(&self) -> impl Iterator<Item = String> {
        let v4 = self.v4.iter().flat_map(|&(first, last)| Ipv4Subnets::new(first.into(), last.into(), 0));
        let v6 = self.v6.iter().flat_map(|&(first, last)| Ipv6Subnets::new(first.into(), last.into(), 0));
        v4.map(IpNet::V4).chain(v6.map(IpNet::V6)).map(|network| {
            let is_one = network.prefix_len() == network.max_prefix_len();
            if is_one { network.addr().to_string() } else { network.to_string() }
        })
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut held = Self::default();
        for network in networks {
            match (network, network.network().to_canonical(), network.broadcast().to_canonical()) {
                (_, IpAddr::V4(first), IpAddr::V4(last)) => held.v4.push((first.to_bits(), last.to_bits())),
                (IpNet::V6(network), ..) => held.v6.push((network.network().to_bits(), network.broadcast().to_bits())),
                (IpNet::V4(network), ..) => held.v4.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        merge(&mut held.v4, |last| last.checked_add(1));
        merge(&mut held.v6, |last| last.checked_add(1));
        held
    }
}

fn is_within<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| address <= *last)
}

/// Puts ranges in order and joins those that overlap or touch.
fn merge<A: Ord + Copy>(ranges: &mut Vec<(A, A)>, next: impl Fn(A) -> Option<A>) {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = (*end).max(last),
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(written: &[&str]) -> Networks {
        written.iter().map(|text| text.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn an_address_is_in_a_network_to_the_bit_and_in_no_other_family() {
        let held = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "::ffff:198.51.100.0/120"]);
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("198.51.100.7", true),
            ("::10.1.2.3", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(held.hold(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!networks(&["::/0"]).hold("192.0.2.1".parse().unwrap()), "all of IPv6 is nothing of IPv4");
        assert!(networks(&["0.0.0.0/0"]).hold("255.255.255.255".parse().unwrap()));
        assert!(!Networks::default().hold("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn lists_are_the_same_only_where_they_stay_so() {
        let file = || Listed::File { path: "list".into(), held: Arc::new(ArcSwap::from_pointee(7)) };
        let (one, two) = (file(), file());
        assert_eq!(Listed::here(7), Listed::here(7));
        assert_eq!(one.clone(), one);
        assert_ne!(one, two);
        assert_ne!(two, Listed::here(7));
    }

    proptest! {
        #[test]
        fn ranges_hold_what_one_of_the_networks_contains(
            written in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
            asked in proptest::collection::vec(any::<u32>(), 1..40),
        ) {
            // Few first bits, so that networks meet.
            let address = |bits: u32| std::net::Ipv4Addr::from_bits(bits & 0xE000_01FF);
            let nets: Vec<IpNet> =
                written.iter().map(|(bits, len)| IpNet::new(address(*bits).into(), *len).unwrap()).collect();
            let held: Networks = nets.iter().copied().collect();
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for address in asked.iter().map(|bits| address(*bits).into()).chain(edges) {
                prop_assert_eq!(held.hold(address), nets.iter().any(|net| net.contains(&address)), "{}", address);
            }
        }
    }
}
