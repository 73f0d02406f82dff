//! Addresses as the command line gives them: `ADDRESS/PREFIX[,GATEWAY]`.

use alloc::string::{String, ToString};
use core::fmt;
use core::net::IpAddr;

use smoltcp::wire::IpCidr;

/// Maximum number of addresses given.
pub const MAX_STATIC: usize = 4;

/// An address of this machine, its network, and the way out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits that all addresses of its network share.
    pub prefix: u8,
    /// Router to all other networks.
    pub gateway: Option<IpAddr>,
}

/// Reason that an address does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No prefix follows the address.
    NoPrefix(String),
    /// The address or the gateway is none.
    NoAddress(String),
    /// The prefix is no number, or has more bits than the address.
    Prefix {
        /// What was given.
        given: String,
        /// Bits of the address.
        bits: u8,
    },
    /// The address is no host's: a group, a whole network, this host itself.
    NoHost(IpAddr),
    /// The gateway is not in the address's network.
    FarGateway {
        /// The gateway.
        gateway: IpAddr,
        /// The address.
        address: Address,
    },
    /// The gateway is the address itself.
    OwnGateway(IpAddr),
    /// Two gateways of a family are given.
    TwoGateways(IpAddr, IpAddr),
    /// An address is given twice.
    Twice(IpAddr),
    /// Too many addresses are given.
    TooMany(usize),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix(given) => {
                write!(f, "{given:?} has no prefix: ADDRESS/PREFIX[,GATEWAY], as in 192.0.2.10/24,192.0.2.1")
            }
            Self::NoAddress(given) => write!(f, "{given:?} is no IPv4 or IPv6 address"),
            Self::Prefix { given, bits } => write!(f, "{given:?} is no prefix: a number from 1 to {bits}"),
            Self::NoHost(ip) => write!(f, "{ip} cannot be a host's address in this network"),
            Self::FarGateway { gateway, address } => {
                write!(f, "gateway {gateway} is not in the network of {}/{}", address.ip, address.prefix)
            }
            Self::OwnGateway(ip) => write!(f, "{ip} cannot be its own gateway"),
            Self::TwoGateways(one, two) => write!(f, "two gateways, {one} and {two}: one a family"),
            Self::Twice(ip) => write!(f, "{ip} is given twice"),
            Self::TooMany(given) => write!(f, "{given} addresses, at most {MAX_STATIC}"),
        }
    }
}

impl core::error::Error for AddressError {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, ",{gateway}"))
    }
}

impl Address {
    /// Reads `ADDRESS/PREFIX[,GATEWAY]`.
    ///
    /// # Errors
    /// When a part is missing or wrong, or the parts do not fit together.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (network, gateway) = match text.split_once(',') {
            Some((network, gateway)) => (network, Some(gateway)),
            None => (text, None),
        };
        let Some((ip, prefix)) = network.split_once('/') else {
            return Err(AddressError::NoPrefix(network.to_string()));
        };
        let ip = read(ip)?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let number = prefix.parse().ok().filter(|number| (1..=bits).contains(number));
        let prefix = number.ok_or_else(|| AddressError::Prefix { given: prefix.to_string(), bits })?;
        let address = Self { ip, prefix, gateway: None };
        if !address.is_host(ip) {
            return Err(AddressError::NoHost(ip));
        }
        let Some(gateway) = gateway else { return Ok(address) };
        let gateway = read(gateway)?;
        if gateway == ip {
            return Err(AddressError::OwnGateway(ip));
        }
        if !address.reaches(gateway) {
            return Err(AddressError::FarGateway { gateway, address });
        }
        Ok(Self { gateway: Some(gateway), ..address })
    }

    /// The same for the protocols.
    pub(crate) fn cidr(&self) -> IpCidr {
        IpCidr::new(self.ip.into(), self.prefix)
    }

    /// Whether an address can be a gateway: a host in this network, or one on the link by its IPv6 address.
    pub(crate) fn reaches(&self, gateway: IpAddr) -> bool {
        let near = match gateway {
            IpAddr::V6(ip) if self.ip.is_ipv6() => ip.is_unicast_link_local() || self.contains(gateway),
            _ => self.contains(gateway),
        };
        near && self.is_host(gateway)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && self.cidr().contains_addr(&ip.into())
    }

    /// Whether an address is one host's, in this network or another.
    pub(crate) fn is_host(&self, ip: IpAddr) -> bool {
        let group = ip.is_multicast() || ip.is_unspecified() || ip.is_loopback();
        let network = match ip {
            IpAddr::V4(ip) => ip.is_broadcast() || (self.contains(ip.into()) && self.is_end(ip.to_bits())),
            IpAddr::V6(_) => false,
        };
        !group && !network
    }

    /// Whether the host's bits are all zeros, the network itself, or all ones, everybody in it. Networks of two have
    /// neither (RFC 3021).
    fn is_end(&self, ip: u32) -> bool {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        self.prefix < 31 && (ip & hosts == 0 || ip & hosts == hosts)
    }
}

fn read(text: &str) -> Result<IpAddr, AddressError> {
    text.parse().map_err(|_| AddressError::NoAddress(text.to_string()))
}

/// Checks that addresses fit together.
pub(crate) fn check(addresses: &[Address]) -> Result<(), AddressError> {
    if addresses.len() > MAX_STATIC {
        return Err(AddressError::TooMany(addresses.len()));
    }
    for (index, one) in addresses.iter().enumerate() {
        for other in &addresses[..index] {
            if one.ip == other.ip {
                return Err(AddressError::Twice(one.ip));
            }
            if let (Some(first), Some(second)) = (other.gateway, one.gateway)
                && first.is_ipv4() == second.is_ipv4()
                && first != second
            {
                return Err(AddressError::TwoGateways(first, second));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Address::parse(text).map(|address| address.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_with_or_without_a_gateway_is_read() {
        for text in [
            "192.0.2.10/24",
            "192.0.2.10/24,192.0.2.1",
            "10.0.0.0/31,10.0.0.1",
            "192.0.2.1/32",
            "2001:db8::2/64,fe80::1",
            "2001:db8::2/64,2001:db8::1",
            "fe80::2/64",
        ] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn each_error_names_what_is_wrong() {
        let wrong = [
            ("", "\"\" has no prefix"),
            ("192.0.2.10", "\"192.0.2.10\" has no prefix"),
            ("192.0.2/24", "\"192.0.2\" is no IPv4 or IPv6 address"),
            ("192.0.2.10/", "\"\" is no prefix: a number from 1 to 32"),
            ("192.0.2.10/33", "\"33\" is no prefix: a number from 1 to 32"),
            ("2001:db8::2/0", "\"0\" is no prefix: a number from 1 to 128"),
            ("192.0.2.0/24", "192.0.2.0 cannot be a host's address"),
            ("192.0.2.255/24", "192.0.2.255 cannot be a host's address"),
            ("127.0.0.1/8", "127.0.0.1 cannot be a host's address"),
            ("224.0.0.1/24", "224.0.0.1 cannot be a host's address"),
            ("ff02::1/64", "ff02::1 cannot be a host's address"),
            ("192.0.2.10/24,", "\"\" is no IPv4 or IPv6 address"),
            ("192.0.2.10/24,192.0.3.1", "gateway 192.0.3.1 is not in the network of 192.0.2.10/24"),
            ("192.0.2.10/24,192.0.2.255", "gateway 192.0.2.255 is not in"),
            ("192.0.2.10/24,fe80::1", "gateway fe80::1 is not in"),
            ("192.0.2.10/24,192.0.2.10", "192.0.2.10 cannot be its own gateway"),
            ("192.0.2.10/24,192.0.2.1,192.0.2.2", "\"192.0.2.1,192.0.2.2\" is no IPv4"),
        ];
        for (text, start) in wrong {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_that_do_not_fit_together_are_refused() {
        let read = |texts: &[&str]| -> Vec<Address> {
            texts.iter().map(|text| Address::parse(text).expect("it is right")).collect()
        };
        let fits = ["192.0.2.10/24,192.0.2.1", "192.0.2.11/24,192.0.2.1", "2001:db8::2/64,fe80::1"];
        assert_eq!(check(&read(&fits)), Ok(()));
        let twice = check(&read(&["192.0.2.10/24", "192.0.2.10/25"])).expect_err("one address");
        assert_eq!(twice.to_string(), "192.0.2.10 is given twice");
        let two =
            check(&read(&["192.0.2.10/24,192.0.2.1", "10.0.0.2/8,10.0.0.1"])).expect_err("two gateways");
        assert_eq!(two.to_string(), "two gateways, 192.0.2.1 and 10.0.0.1: one a family");
        let many = ["10.0.0.1/8", "10.0.0.2/8", "10.0.0.3/8", "10.0.0.4/8", "10.0.0.5/8"];
        assert_eq!(check(&read(&many)), Err(AddressError::TooMany(5)));
    }
}
