//! What the installation decides once for all objects: identity, names, networks, proxy.
//!
//! Names are functions of identity, so that doing a thing twice finds what was done first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hash::short_hash;
use crate::model::Network;

/// Longest name that the Engine accepts for a service, which is also a DNS label.
const LONGEST_SERVICE_NAME: usize = 63;
/// Longest name of a network that stays readable in every tool.
const LONGEST_NETWORK_NAME: usize = 63;
/// Placeholder in [`ClusterConfig::namespace_network`].
const NAMESPACE: &str = "{namespace}";

/// Settings that every decision shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Identity of this control plane. Nothing without it in its label is ever changed.
    pub uid: String,
    /// Overlay network shared with Traefik.
    pub ingress_network: String,
    /// Its subnet in CIDR notation, when we have to make it. `None`: the Engine's choice.
    pub ingress_subnet: Option<String>,
    /// Name of the overlay network of a namespace; `{namespace}` is replaced.
    pub namespace_network: String,
    /// Where subnets of namespace networks come from. `None`: the Engine's address pools.
    pub namespace_subnets: Option<SubnetPool>,
    /// What the installation's Traefik is configured for.
    pub traefik: TraefikConfig,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            uid: String::new(),
            ingress_network: "obiente-ingress".into(),
            ingress_subnet: None,
            namespace_network: format!("obiente-{NAMESPACE}"),
            namespace_subnets: None,
            traefik: TraefikConfig::default(),
        }
    }
}

/// What the installation's Traefik is configured for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraefikConfig {
    /// `providers.swarm.refreshSeconds`: labels are in effect at the latest this long after they were written.
    pub refresh: Duration,
}

impl Default for TraefikConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(15), // Traefik's own default
        }
    }
}

/// Addresses that namespace networks are cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetPool {
    /// The whole pool.
    pub base: Cidr,
    /// Prefix length of one network, between the pool's own and 30.
    pub prefix: u8,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    /// First address.
    pub address: std::net::Ipv4Addr,
    /// Prefix length, 0 to 32.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`. `None` for anything else, IPv6 included.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
        (prefix <= 32).then_some(Self { address, prefix })
    }

    /// First and last address as numbers.
    fn range(self) -> (u64, u64) {
        let size = 1_u64 << (32 - u32::from(self.prefix.min(32)));
        let first = u64::from(u32::from(self.address)) / size * size;
        (first, first + size - 1)
    }
}

impl ClusterConfig {
    /// Name of the Swarm service of a Deployment: `<namespace>_<name>`, shortened with a hash
    /// where the Engine does not take it whole. A dot, which DNS names may not have, becomes a dash.
    pub fn service_name(&self, namespace: &str, name: &str) -> String {
        let plain = format!("{namespace}_{name}");
        let clean: String = plain.replace('.', "-");
        if clean == plain {
            return bounded(&plain, &plain, LONGEST_SERVICE_NAME);
        }
        let hashed = format!("{clean}-{}", short_hash(&plain));
        bounded(&hashed, &plain, LONGEST_SERVICE_NAME)
    }

    /// Name of the overlay network of a namespace.
    pub fn namespace_network_name(&self, namespace: &str) -> String {
        let plain = self.namespace_network.replace(NAMESPACE, namespace);
        bounded(&plain, &plain, LONGEST_NETWORK_NAME)
    }

    /// A free subnet for a new namespace network: the first one of the pool that touches no
    /// network seen. `Ok(None)`: the Engine shall choose. `Err`: the pool is used up.
    pub fn free_subnet(&self, networks: &[Network]) -> Result<Option<String>, PoolExhausted> {
        let Some(pool) = self.namespace_subnets else {
            return Ok(None);
        };
        let taken: Vec<(u64, u64)> = networks
            .iter()
            .flat_map(|network| &network.subnets)
            .chain(&self.ingress_subnet)
            .filter_map(|text| Cidr::parse(text))
            .map(Cidr::range)
            .collect();
        let (mut first, end) = pool.base.range();
        let size = 1_u64 << (32 - u32::from(pool.prefix.clamp(1, 30)));
        while first + size - 1 <= end {
            let last = first + size - 1;
            match taken
                .iter()
                .find(|(from, to)| *from <= last && first <= *to)
            {
                // Jump behind the network in the way, to the next whole block.
                Some((_, to)) => first = (to + size) / size * size,
                None => {
                    let address =
                        u32::try_from(first).map_or(pool.base.address, std::net::Ipv4Addr::from);
                    return Ok(Some(format!("{address}/{}", pool.prefix)));
                }
            }
        }
        Err(PoolExhausted {
            pool: format!("{}/{}", pool.base.address, pool.base.prefix),
            prefix: pool.prefix,
        })
    }
}

/// No subnet is free for a new network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address pool {pool} has no free /{prefix} for another network")]
pub struct PoolExhausted {
    /// The pool.
    pub pool: String,
    /// Prefix length of one network.
    pub prefix: u8,
}

/// `text`, or where it is too long its beginning and a hash of `identity`.
pub(crate) fn bounded(text: &str, identity: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let hash = short_hash(identity);
    let head: String = text.chars().take(longest - hash.len() - 1).collect();
    format!("{}-{hash}", head.trim_end_matches(['-', '_', '.']))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cluster() -> ClusterConfig {
        ClusterConfig {
            uid: "c1".into(),
            ..ClusterConfig::default()
        }
    }

    #[test]
    fn service_names_are_readable_bounded_and_never_shared() {
        let cluster = cluster();
        assert_eq!(cluster.service_name("shop", "web"), "shop_web");
        let long = "x".repeat(80);
        let one = cluster.service_name("shop", &format!("{long}1"));
        let two = cluster.service_name("shop", &format!("{long}2"));
        assert_eq!(one.len(), 63);
        assert_ne!(one, two);
        // A dot is legal in the object's name and not in a DNS label.
        let dotted = cluster.service_name("shop", "web.v1");
        assert!(dotted.starts_with("shop_web-v1-"), "{dotted}");
        assert_ne!(dotted, cluster.service_name("shop", "web-v1"));
    }

    #[test]
    fn subnets_are_cut_from_the_pool_around_what_exists() {
        // case F16
        let mut cluster = cluster();
        assert_eq!(cluster.free_subnet(&[]), Ok(None));
        cluster.namespace_subnets = Some(SubnetPool {
            base: Cidr::parse("10.20.0.0/16").unwrap(),
            prefix: 24,
        });
        let network = |subnet: &str| Network {
            subnets: vec![subnet.into()],
            ..Network::default()
        };
        assert_eq!(cluster.free_subnet(&[]).unwrap().unwrap(), "10.20.0.0/24");
        assert_eq!(
            cluster
                .free_subnet(&[network("10.20.0.0/23")])
                .unwrap()
                .unwrap(),
            "10.20.2.0/24"
        );
        assert_eq!(
            cluster
                .free_subnet(&[network("10.20.0.64/28")])
                .unwrap()
                .unwrap(),
            "10.20.1.0/24"
        );
        assert_eq!(
            cluster
                .free_subnet(&[network("fd00::/64"), network("192.168.0.0/16")])
                .unwrap()
                .unwrap(),
            "10.20.0.0/24"
        );
        let error = cluster.free_subnet(&[network("10.0.0.0/8")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the address pool 10.20.0.0/16 has no free /24 for another network"
        );
    }

    #[test]
    fn an_unreadable_network_is_no_network() {
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/8", ""] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
