//! Ranges of addresses, as the kinds of this group write them. Source: KEP-4858.

use std::net::IpAddr;

use ipnet::IpNet;

const WRONG: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// A range; the problem if the text is none, or can be read in two ways.
pub fn range(text: &str) -> Result<IpNet, &'static str> {
    let net = text.parse::<IpNet>().map_err(|_| WRONG)?;
    // The parser is lenient with zeros in front; some programs take them for octal numbers.
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    if address.parse::<IpAddr>().is_err() || (prefix.len() > 1 && prefix.starts_with('0')) {
        return Err("must not have leading 0s in IP or prefix length");
    }
    if matches!(net, IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some()) {
        return Err("must not have an IPv4-mapped IPv6 address");
    }
    if net.trunc() != net {
        return Err("must not have bits set beyond the prefix length");
    }
    Ok(net)
}

/// A range, written in the one way of RFC 5952.
pub fn canonical(text: &str) -> Result<IpNet, String> {
    let net = range(text)?;
    if net.to_string() != text {
        return Err(format!("must be in canonical form ({:?})", net.to_string()));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_from_nonsense() {
        for (text, why) in [
            ("10.0.0.0/8", ""),
            ("fd00::/8", ""),
            ("10.0.0.0", "must be a valid CIDR value"),
            ("10.0.0.0/33", "must be a valid CIDR value"),
            ("x/8", "must be a valid CIDR value"),
            ("010.0.0.0/8", "must not have leading 0s"),
            ("10.0.0.0/08", "must not have leading 0s"),
            ("10.0.0.1/8", "must not have bits set"),
            ("::ffff:10.0.0.0/120", "must not have an IPv4-mapped"),
        ] {
            match range(text) {
                Ok(_) => assert_eq!(why, "", "{text}"),
                Err(found) => assert!(!why.is_empty() && found.starts_with(why), "{text}: {found}"),
            }
        }
        assert_eq!(canonical("fd00:0::/64"), Err("must be in canonical form (\"fd00::/64\")".into()));
        assert!(canonical("fd00::/64").is_ok());
    }
}
