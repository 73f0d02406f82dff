//! Which addresses this machine has: given, leased by DHCP, made of what routers advertise, and its own on the link.
//!
//! A family with an address given asks nobody for one.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;
use smoltcp::wire::EthernetAddress;

use crate::address::Address;
use crate::routers::{self, LINK, Routers};

/// Time after which a DHCP server is asked again: the first question may go out before a switch forwards.
const ASK_AGAIN: Duration = Duration::from_secs(4);

/// Addresses in use, and where they come from.
pub(crate) struct Addressing {
    own: Address,
    given: Vec<Address>,
    dhcp: Option<SocketHandle>,
    lease: Option<Address>,
    pub(crate) routers: Option<Routers>,
    current: Vec<Address>,
    changed: bool,
}

impl Addressing {
    /// Sources of addresses for a device, and its first ones.
    pub(crate) fn new(
        mac: EthernetAddress,
        given: Vec<Address>,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
    ) -> Self {
        let own = autonomous(routers::own_address(LINK, mac), None);
        let has = |ipv4: bool| given.iter().any(|address| address.ip.is_ipv4() == ipv4);
        let dhcp = (!has(true)).then(|| {
            let mut socket = dhcpv4::Socket::new();
            let mut retries = dhcpv4::RetryConfig::default();
            (retries.discover_timeout, retries.initial_request_timeout) = (ASK_AGAIN, ASK_AGAIN);
            socket.set_retry_config(retries);
            sockets.add(socket)
        });
        let routers = (!has(false)).then(|| Routers::new(mac));
        let current = Vec::new();
        let mut new = Self { own, given, dhcp, lease: None, routers, current, changed: false };
        new.apply(interface);
        new
    }

    /// Addresses in use.
    pub(crate) fn current(&self) -> &[Address] {
        &self.current
    }

    /// Whether they have changed since this was asked last.
    pub(crate) fn changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// Takes what DHCP and routers have said, and forgets what has run out.
    pub(crate) fn update(&mut self, interface: &mut Interface, sockets: &mut SocketSet<'static>, now: u64) {
        if let Some(routers) = &mut self.routers {
            routers.expire(now);
        }
        match self.dhcp.and_then(|handle| sockets.get_mut::<dhcpv4::Socket>(handle).poll()) {
            Some(dhcpv4::Event::Configured(config)) => self.lease = lease(&config),
            Some(dhcpv4::Event::Deconfigured) => self.lease = None,
            None => {}
        }
        self.apply(interface);
    }

    /// Tells the protocols, if something is new.
    fn apply(&mut self, interface: &mut Interface) {
        let mut addresses = Vec::with_capacity(self.current.len());
        addresses.extend_from_slice(&self.given);
        addresses.extend(self.lease);
        if let Some(routers) = &self.routers {
            let gateway = routers.router().map(IpAddr::V6);
            addresses.extend(routers.addresses().map(|ip| autonomous(ip, gateway)));
        }
        addresses.push(self.own);
        if addresses == self.current {
            return;
        }
        interface.update_ip_addrs(|list| {
            list.clear();
            // Eight fit: `MAX_STATIC`, a lease, `MAX_PREFIXES`, and our own.
            list.extend(addresses.iter().map(Address::cidr));
        });
        let gateway = |ipv4: bool| {
            let gateways = addresses.iter().filter_map(|address| address.gateway);
            gateways.into_iter().find(|gateway| gateway.is_ipv4() == ipv4)
        };
        let routes = interface.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        // There is room for one of each family.
        if let Some(IpAddr::V4(gateway)) = gateway(true) {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        if let Some(IpAddr::V6(gateway)) = gateway(false) {
            let _ = routes.add_default_ipv6_route(gateway);
        }
        self.current = addresses;
        self.changed = true;
    }
}

/// Address made of a prefix.
fn autonomous(ip: Ipv6Addr, gateway: Option<IpAddr>) -> Address {
    Address { ip: ip.into(), prefix: routers::PREFIX_BITS, gateway }
}

/// Lease as an address. A server's mistakes are not taken over: an address that is no host's, a router that is none.
fn lease(config: &dhcpv4::Config<'_>) -> Option<Address> {
    let (ip, prefix): (Ipv4Addr, u8) = (config.address.address(), config.address.prefix_len());
    let address = Address { ip: ip.into(), prefix, gateway: None };
    let gateway =
        config.router.map(IpAddr::V4).filter(|router| address.reaches(*router) && *router != address.ip);
    address.is_host(address.ip).then_some(Address { gateway, ..address })
}
