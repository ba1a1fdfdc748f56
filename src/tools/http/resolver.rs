//! From a host's name to the addresses that may be connected to: what was checked is what is used.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::networks::Reach;
use crate::tools::Error;

/// Finds the addresses of a name; it may block.
pub(super) type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Resolves names for one tool, and refuses those that lead where it must not go.
#[derive(Clone)]
pub(super) struct Resolver {
    reach: Reach,
    lookup: Lookup,
}

/// An address that a tool must not reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match host {
    Some(host) => format!("{host} is at {address}, which is not a public address"),
    None => format!("{address} is not a public address"),
})]
pub(super) struct PrivateAddress {
    /// The name that led to it; `None` if it was written as an address.
    host: Option<String>,
    address: IpAddr,
}

impl PrivateAddress {
    /// What the call is answered.
    pub fn denied(&self) -> Error {
        Error::denied(format!("{self}; not sent")).code("private_address")
    }
}

impl Resolver {
    pub fn new(reach: Reach, lookup: Lookup) -> Self {
        Self { reach, lookup }
    }

    /// Checks a host that is written as an address, in whatever spelling. Names pass: their
    /// addresses are checked once they are known.
    pub fn check_literal(&self, url: &Url) -> Result<(), PrivateAddress> {
        match literal(url) {
            Some(address) if !self.reach.allows(address) => {
                Err(PrivateAddress { host: None, address })
            }
            _ => Ok(()),
        }
    }

    /// The addresses of `host`, of which all may be reached.
    pub async fn addresses(&self, host: String) -> Result<Vec<IpAddr>, NotResolved> {
        let (name, lookup) = (host.clone(), Arc::clone(&self.lookup));
        let looked_up = tokio::task::spawn_blocking(move || lookup(&name)).await;
        let addresses = looked_up.map_err(io::Error::other).flatten()?;
        match addresses.iter().find(|address| !self.reach.allows(**address)) {
            Some(&address) => Err(PrivateAddress { host: Some(host), address }.into()),
            None if addresses.is_empty() => Err(io::Error::other("the name has no address").into()),
            None => Ok(addresses),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotResolved {
    #[error(transparent)]
    Private(#[from] PrivateAddress),
    #[error(transparent)]
    Unknown(#[from] io::Error),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let addresses = match resolver.addresses(host).await {
                Ok(addresses) => addresses,
                Err(NotResolved::Private(private)) => return Err(private.into()),
                Err(NotResolved::Unknown(error)) => return Err(error.into()),
            };
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs) // Port 0: that of the URL.
        })
    }
}

/// The host of `url`, if it is an address. The URL has brought every spelling of IPv4 into one.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Asks the operating system.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
}

/// The private address that a request failed for, if that is why.
pub(super) fn private_address(error: &reqwest::Error) -> Option<&PrivateAddress> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(private) = error.downcast_ref() {
            return Some(private);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    /// A resolver of a world where every name is at these addresses.
    fn resolver(addresses: &[&str], allowed: &[&str]) -> Resolver {
        let addresses: Vec<IpAddr> =
            addresses.iter().map(|address| address.parse().unwrap()).collect();
        let allowed: Vec<_> = allowed.iter().map(|&network| network.to_owned()).collect();
        let reach = Reach::new(&allowed).unwrap();
        Resolver::new(reach, Arc::new(move |_| Ok(addresses.clone())))
    }

    async fn resolved(resolver: &Resolver) -> Result<Vec<SocketAddr>, String> {
        let name = Name::from_str("api.example.com").unwrap();
        let resolved = resolver.resolve(name).await;
        resolved.map(Iterator::collect).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_name_is_refused_if_any_of_its_addresses_is() {
        let mixed = resolver(&["93.184.216.34", "10.0.0.7"], &[]);
        let refused = "api.example.com is at 10.0.0.7, which is not a public address";
        assert_eq!(resolved(&mixed).await, Err(refused.to_owned()));
        let mapped = resolver(&["93.184.216.34", "::ffff:10.0.0.7"], &[]);
        assert!(resolved(&mapped).await.is_err());
        let allowed = resolver(&["93.184.216.34", "10.0.0.7"], &["10.0.0.0/8"]);
        let all = ["93.184.216.34:0", "10.0.0.7:0"].map(|address| address.parse().unwrap());
        assert_eq!(resolved(&allowed).await, Ok(all.to_vec()));
        assert_eq!(resolved(&resolver(&[], &[])).await, Err("the name has no address".into()));
    }

    #[tokio::test]
    async fn names_of_this_machine_are_no_way_in() {
        let resolver = Resolver::new(Reach::default(), system_lookup());
        let refused = resolver.addresses("localhost".to_owned()).await;
        assert!(matches!(refused, Err(NotResolved::Private(_))), "{refused:?}");
    }
}
