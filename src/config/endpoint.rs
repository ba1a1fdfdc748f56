//! The address requests go to: valid, local or not, and never shown with its password.

use std::fmt;
use std::net::IpAddr;

use super::secret::MASK;

/// The URL of an endpoint. It shows itself with `user:password@` masked.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Takes an http(s) URL with a host and without `?` or `#`; a slash at its end is dropped.
    pub(super) fn new(text: &str) -> Option<BaseUrl> {
        let url = BaseUrl(text.trim_end_matches('/').to_owned());
        let known = ["http://", "https://"].iter().any(|scheme| url.0.starts_with(scheme));
        let plain = !url.0.contains(|letter: char| "?#\\".contains(letter) || letter <= ' ');
        let (host, port) = url.host_and_port();
        let port =
            port.strip_prefix(':').map_or(port.is_empty(), |port| port.parse::<u16>().is_ok());
        (known && plain && port && !host.is_empty()).then_some(url)
    }

    /// Returns the URL itself, password included, for the client that connects.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the host is this machine: `localhost`, 127.0.0.0/8 or ::1.
    pub fn is_local(&self) -> bool {
        let host = self.host_and_port().0.to_ascii_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host == "localhost",
        }
    }

    /// Splits what stands between `//`, or `@`, and the path; the port keeps its colon.
    fn host_and_port(&self) -> (&str, &str) {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let place = authority.rsplit('@').next().unwrap_or_default();
        if let Some((host, port)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return (host, port);
        }
        place.split_at(place.find(':').unwrap_or(place.len()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&masked(&self.0))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", masked(&self.0))
    }
}

/// Masks all that stands before the last `@` of a URL, also of one that is malformed.
pub(super) fn masked(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{MASK}@{rest}"),
        (None, Some((_, rest))) => format!("{MASK}@{rest}"),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_host_is_known_by_its_host_alone() {
        let local = |text: &str| BaseUrl::new(text).unwrap().is_local();
        assert!(local("http://localhost:11434/v1"));
        assert!(local("http://LOCALHOST"));
        assert!(local("http://127.9.9.9/v1/"));
        assert!(local("http://u:p@[::1]:80/v1"));
        assert!(local("http://[::ffff:127.0.0.1]/v1"));
        assert!(!local("https://localhost.example.com/v1"));
        assert!(!local("https://localhost@example.com/v1"));
        assert!(!local("https://example.com/@localhost"));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "openrouter.ai",
            "ftp://a",
            "http://",
            "https:///v1",
            "http://a b",
            "http://a?k=1",
            "http://a:port",
            "http://user:pass/word@host",
            "http://a\\@localhost",
        ] {
            assert_eq!(BaseUrl::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = BaseUrl::new("https://user:pa@ss@example.com/v1/").unwrap();
        assert_eq!(format!("{url}"), "https://[secret]@example.com/v1");
        assert_eq!(format!("{url:?}"), "\"https://[secret]@example.com/v1\"");
        assert_eq!(url.as_str(), "https://user:pa@ss@example.com/v1");
        assert_eq!(masked("postgres://u:p/w@db"), "postgres://[secret]@db");
        assert_eq!(masked("u:p@db"), "[secret]@db");
    }
}
