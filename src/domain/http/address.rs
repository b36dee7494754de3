//! Which addresses a request may go to: public ones, and those that the configuration allows.

// The types of addresses, without any I/O.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fmt, str::FromStr};

/// An entry of `allow_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// A host by its name, in small letters.
    Name(String),
    /// Every host below a domain: `*.example.org`, without the asterisk.
    Below(String),
    /// A network: an address, and the length of its prefix.
    Network(IpAddr, u8),
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Anybody can have it.
    Public,
    /// This machine.
    Loopback,
    /// A private network.
    Private,
    /// This link only; in clouds, the service with the credentials of the machine.
    LinkLocal,
    /// Nobody's own address: unspecified, multicast, reserved.
    Unusable,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} {}: {way_out}", self.what())]
pub struct RefusedAddress {
    host: String,
    address: IpAddr,
    class: AddressClass,
    way_out: &'static str,
}

impl RefusedAddress {
    fn what(&self) -> String {
        let is = if self.host == self.address.to_string() { "is".to_owned() } else { format!("is {},", self.address) };
        format!("{is} {}", self.class.words())
    }
}

impl AddressClass {
    /// The class of an address. An IPv6 address that stands for an IPv4 address has the class of that one.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => Self::of_v4(inner),
                None => Self::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            // Linux connects to this machine.
            [0, ..] | [224..=255, ..] => Self::Unusable,
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 0, _] | [192, 0, 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Self::Private
            }
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0, ..] | [0xff00..=0xffff, ..] => Self::Unusable,
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x2001, 0x0db8, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            _ => Self::Public,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Unusable => "an address of no host",
        }
    }
}

/// The IPv4 address within an IPv6 address: mapped, compatible, 6to4, or by NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => from(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => from(high, low),
        [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

impl AllowedHost {
    fn names(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')),
            Self::Network(..) => false,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let Self::Network(network, length) = self else { return false };
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32_u8),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let ((one, of_one), (other, of_other)) = (bits(*network), bits(address));
        let differing = if *length == 0 { 0 } else { (one ^ other) >> (128 - u32::from(*length)) };
        of_one == of_other && differing == 0
    }
}

/// Whether a request to that host may go to this address.
///
/// # Errors
/// If it may not. A name in `allowed` allows the loopback and private addresses of the host; link-local addresses are
/// allowed by themselves only, and those of no host never.
pub fn check(host: &str, address: IpAddr, allowed: &[AllowedHost]) -> Result<(), RefusedAddress> {
    let (host, address) = (host.to_ascii_lowercase(), address.to_canonical());
    let class = AddressClass::of(address);
    let refused = |way_out| Err(RefusedAddress { host: host.clone(), address, class, way_out });
    let is_named = || allowed.iter().any(|entry| entry.names(&host));
    let is_in_network = || allowed.iter().any(|entry| entry.contains(address));
    match class {
        AddressClass::Public => Ok(()),
        AddressClass::Unusable => refused("requests never go there"),
        AddressClass::Loopback | AddressClass::Private if is_named() || is_in_network() => Ok(()),
        AddressClass::Loopback | AddressClass::Private => refused("add the host or its address to `allow_hosts`"),
        AddressClass::LinkLocal if is_in_network() => Ok(()),
        AddressClass::LinkLocal => refused("only the address itself in `allow_hosts` allows it"),
    }
}

/// Whether a redirect may lead to another host.
pub fn may_lead_to(host: &str, allowed: &[AllowedHost]) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    allowed.iter().any(|entry| entry.names(&host) || address.is_some_and(|address| entry.contains(address)))
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            Err(format!(
                "`{text}` is no host: write \"erp.example.org\", \"*.example.org\", \"10.1.2.3\" or \"10.1.0.0/16\""
            ))
        };
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        if let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            return match length.map_or(Ok(most), str::parse::<u8>) {
                Ok(length) if length <= most => Ok(Self::Network(address, length)),
                _ => wrong(),
            };
        }
        let name = text.to_ascii_lowercase();
        let (is_below, plain) = match name.strip_prefix("*.") {
            Some(plain) => (true, plain),
            None => (false, name.as_str()),
        };
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match plain.split('.').all(is_label) {
            true if is_below => Ok(Self::Below(plain.to_owned())),
            true => Ok(Self::Name(plain.to_owned())),
            false => wrong(),
        }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::Network(address, length) => write!(f, "{address}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(host: &str, address: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<AllowedHost> = allowed.iter().map(|text| text.parse().expect("an entry")).collect();
        check(host, address.parse().expect("an address"), &allowed).is_ok()
    }

    #[test]
    fn public_addresses_need_no_permission() {
        for address in ["93.184.216.34", "2606:2800:220:1::1", "100.128.0.1", "172.32.0.1", "64:ff9b::5db8:d822"] {
            assert!(is_allowed("example.org", address, &[]), "{address}");
        }
    }

    #[test]
    fn other_addresses_need_permission_in_every_spelling() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fd00::1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "192.0.2.1",
            "fec0::1",
        ] {
            assert!(!is_allowed("h", address, &[]), "{address}");
            assert!(!is_allowed("h", address, &["other", "*.h"]), "{address}");
        }
    }

    #[test]
    fn a_name_allows_private_addresses_and_no_link_local_ones() {
        assert!(is_allowed("erp.example.org", "10.1.2.3", &["ERP.example.org"]));
        assert!(is_allowed("a.b.example.org", "127.0.0.1", &["*.example.org"]));
        assert!(!is_allowed("example.org", "127.0.0.1", &["*.example.org"]));
        assert!(!is_allowed("badexample.org", "127.0.0.1", &["*.example.org"]));
        assert!(!is_allowed("erp", "169.254.169.254", &["erp"]));
        assert!(is_allowed("erp", "169.254.169.254", &["169.254.169.254"]));
        assert!(!is_allowed("erp", "0.0.0.0", &["erp", "0.0.0.0/0"]));
    }

    #[test]
    fn a_network_allows_its_addresses() {
        assert!(is_allowed("h", "10.1.255.1", &["10.1.0.0/16"]) && !is_allowed("h", "10.2.0.1", &["10.1.0.0/16"]));
        assert!(is_allowed("h", "fd00::1", &["fd00::/8"]) && !is_allowed("h", "fd00::1", &["10.0.0.0/8"]));
        assert!(is_allowed("h", "::ffff:10.1.0.1", &["10.1.0.0/16"]), "it is the same address");
        assert!(is_allowed("h", "10.9.9.9", &["0.0.0.0/0"]));
    }

    #[test]
    fn what_is_refused_says_the_way_out() {
        let refused = |host: &str, address: &str| check(host, address.parse().unwrap(), &[]).unwrap_err().to_string();
        let expected = "erp is 10.0.0.1, a private address: add the host or its address to `allow_hosts`";
        assert_eq!(refused("erp", "10.0.0.1"), expected);
        let expected = "127.0.0.1 is a loopback address: add the host or its address to `allow_hosts`";
        assert_eq!(refused("127.0.0.1", "127.0.0.1"), expected);
    }

    #[test]
    fn entries_are_hosts_or_networks() {
        for text in ["", "http://x", "10.0.0.0/33", "10.0.0/8", "a b", "*", "*.", "x:80", "10.0.0.1/x"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
        let allowed = ["shop.example.org".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        assert!(may_lead_to("Shop.example.org", &allowed) && may_lead_to("10.1.1.1", &allowed));
        assert!(!may_lead_to("example.org", &allowed) && !may_lead_to("11.1.1.1", &allowed));
    }
}
